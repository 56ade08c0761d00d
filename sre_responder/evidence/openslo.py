"""Objectives as OpenSLO v1 has them: `kind: SLO`, with an indicator of its own or one of `kind: SLI`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from sre_responder.evidence.objective import WINDOW, Lenient, Objective, Unusable, bad_share, budget, plain
from sre_responder.evidence.promql import parsed

VERSION = "openslo/v1"
_PROMETHEUS = frozenset(["", "prometheus", "thanos", "mimir", "cortex", "victoriametrics"])
_QUERY = ("query", "promql")
_COMPARISONS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class _Source(Lenient):
    ref: str | None = Field(None, alias="metricSourceRef")
    type: str = ""
    spec: Mapping[str, Any] = Field(default_factory=dict)


class _Metric(Lenient):
    source: _Source = Field(alias="metricSource")


class _Ratio(Lenient):
    counter: bool = False
    good: _Metric | None = None
    bad: _Metric | None = None
    total: _Metric | None = None
    raw: _Metric | None = None
    raw_type: Literal["success", "failure", None] = Field(None, alias="rawType")


class _Sli(Lenient):
    threshold: _Metric | None = Field(None, alias="thresholdMetric")
    ratio: _Ratio | None = Field(None, alias="ratioMetric")


class _Target(Lenient):
    op: Literal["lt", "lte", "gt", "gte", None] = None
    value: float | None = None
    target: float | None = None
    percent: float | None = Field(None, alias="targetPercent")
    slice_target: float | None = Field(None, alias="timeSliceTarget")

    def share(self, method: str) -> float:
        """The share that must be good: of events, or of those in each time slice."""
        if method == "Timeslices" and self.slice_target is not None:
            return self.slice_target
        if self.target is None and self.percent is None:
            raise Unusable("its objective has neither target nor targetPercent")
        return self.target if self.target is not None else (self.percent or 0) / 100


class _Slo(Lenient):
    service: str = ""
    indicator: Mapping[str, Any] | None = None
    indicator_ref: str | None = Field(None, alias="indicatorRef")
    method: str = Field("Occurrences", alias="budgetingMethod")
    objectives: tuple[_Target, ...] = Field(min_length=1)


def read(
    document: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, Callable[[], Objective]]]:
    """The objective of a document; none if it is another kind, or not OpenSLO's."""
    version = str(document.get("apiVersion"))
    if version.startswith("openslo/") and document.get("kind") == "SLO":
        spec = document.get("spec")
        service = str(spec.get("service", "")) if isinstance(spec, Mapping) else ""
        yield service, _name(document), partial(_asks, version, spec, others)


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""


def _asks(version: str, spec: Any, others: Sequence[Mapping[str, Any]]) -> Objective:
    if version != VERSION:
        raise Unusable(f"it is of {version}: write {VERSION}")
    slo = _Slo.model_validate(spec)
    sli = _Sli.model_validate(_indicator(slo, others))
    if sli.threshold:
        return _threshold(sli.threshold, slo.objectives)
    if sli.ratio is None:
        raise Unusable("its indicator has neither ratioMetric nor thresholdMetric")
    query, connection = _share_of_bad(sli.ratio)
    return Objective(query, budget(max(one.share(slo.method) for one in slo.objectives)), connection=connection)


def _indicator(slo: _Slo, others: Sequence[Mapping[str, Any]]) -> Any:
    if slo.indicator is not None:
        return slo.indicator.get("spec")
    named = [
        other.get("spec") for other in others
        if (other.get("apiVersion"), other.get("kind"), _name(other)) == (VERSION, "SLI", slo.indicator_ref)
    ]  # fmt: skip
    if len(named) != 1:
        many = "no" if not named else "more than one"
        raise Unusable(f"there is {many} kind: SLI of {VERSION} called '{slo.indicator_ref}', its indicatorRef")
    return named[0]


def _threshold(metric: _Metric, objectives: Sequence[_Target]) -> Objective:
    """Several thresholds of one metric must all hold."""
    query, connection = _query(metric, counter=False)
    said = [f"value {_COMPARISONS[one.op]} `{one.value!r}`" for one in objectives if one.op and one.value is not None]
    if len(said) != len(objectives):
        raise Unusable("an objective of thresholdMetric needs op and value")
    return Objective(query, expect=" && ".join(said), connection=connection)


def _share_of_bad(ratio: _Ratio) -> tuple[str, str | None]:
    if ratio.raw:
        query, connection = _query(ratio.raw, counter=False)
        if ratio.raw_type is None:
            raise Unusable("raw needs rawType: success or failure")
        return (query if ratio.raw_type == "failure" else f"1 - ({query})"), connection
    part = ratio.bad or ratio.good
    if part is None or ratio.total is None or (ratio.bad and ratio.good):
        raise Unusable("its ratioMetric needs total, and one of good and bad; or raw")
    (query, connection), (total, other) = _query(part, ratio.counter), _query(ratio.total, ratio.counter)
    if connection != other:
        raise Unusable(f"its parts come from two sources, {connection} and {other}, and one query reads one")
    return bad_share(total, **{"bad" if ratio.bad else "good": query}), connection


def _query(metric: _Metric, counter: bool) -> tuple[str, str | None]:
    """The query over the window, and the connection that it names."""
    source = metric.source
    if source.type.lower() not in _PROMETHEUS:
        raise Unusable(f"its metricSource is of type {source.type}, and only PromQL is read")
    written = [source.spec[key] for key in _QUERY if isinstance(source.spec.get(key), str)]
    if len(written) != 1:
        raise Unusable(f"its metricSource has no PromQL: write it as spec.{' or spec.'.join(_QUERY)}")
    query = plain(written[0])
    looked = parsed(query)
    if not counter or WINDOW in query or any(one.range_s for one in looked.selectors):
        return query, source.ref
    if [one.text for one in looked.selectors] != [query]:
        raise Unusable(f"of a counter, {query} cannot be taken over a window: write sum(rate(...[{WINDOW}]))")
    return f"sum(rate({query}[{WINDOW}]))", source.ref
