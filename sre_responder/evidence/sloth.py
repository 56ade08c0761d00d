"""Objectives as Sloth has them: `version: prometheus/v1`, and its Kubernetes form `PrometheusServiceLevel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import AliasChoices, Field

from sre_responder.evidence.objective import Lenient, Objective, Unusable, bad_share, budget, plain


class _Events(Lenient):
    error: str = Field(validation_alias=AliasChoices("error_query", "errorQuery"))
    total: str = Field(validation_alias=AliasChoices("total_query", "totalQuery"))


class _Raw(Lenient):
    ratio: str = Field(validation_alias=AliasChoices("error_ratio_query", "errorRatioQuery"))


class _Sli(Lenient):
    events: _Events | None = None
    raw: _Raw | None = None


class _Slo(Lenient):
    name: str
    objective: float
    sli: _Sli


class _Service(Lenient):
    service: str
    slos: tuple[_Slo, ...]


def read(
    document: Mapping[str, Any], _: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, Callable[[], Objective]]]:
    """The objectives of a document; none if it is not Sloth's."""
    kubernetes = (
        str(document.get("apiVersion")).startswith("sloth.slok.dev/")
        and document.get("kind") == "PrometheusServiceLevel"
    )
    if kubernetes or document.get("version") == "prometheus/v1":
        service = _Service.model_validate(document.get("spec") if kubernetes else document)
        yield from ((service.service, slo.name, partial(_asks, slo)) for slo in service.slos)


def _asks(slo: _Slo) -> Objective:
    if slo.sli.events:
        query = bad_share(slo.sli.events.total, bad=slo.sli.events.error)
    elif slo.sli.raw:
        query = plain(slo.sli.raw.ratio)
    else:
        raise Unusable("its indicator is a plugin, which only Sloth can run: write events or raw")
    return Objective(query, budget(slo.objective / 100))
