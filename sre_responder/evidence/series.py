"""Answers of the HTTP API that Prometheus made common: one value, or one row of values, or why there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from sre_responder.evidence.fetch import BODY_LIMIT, Login, document, fetch
from sre_responder.model.look import NotMeasured, Place
from sre_responder.model.names import shown

_NOT_A_WARNING = "PromQL info"
"""How a hint about the query begins, which says nothing against the answer."""


class TenantLogin(Login):
    """One that may serve several tenants."""

    tenant: str | None = Field(None, description="Sent as X-Scope-OrgID, which Mimir, Cortex, Thanos and Loki read.")

    def sent(self) -> dict[str, str]:
        return {**super().sent(), **({"X-Scope-OrgID": self.tenant} if self.tenant else {})}


class Row(NamedTuple):
    """One series: its labels, and its values in order."""

    labels: Mapping[str, str]
    values: tuple[float, ...]


def ask(login: Login, path: str, timeout_s: float, at_most: int = BODY_LIMIT, /, **form: str) -> list[Row]:
    """The series of one query. NotMeasured for an error, a partial answer, or what is none."""
    answer = fetch(f"{login.url}{path}", timeout_s, login=login, form=form, at_most=at_most)
    found = document(answer)
    if found.get("status") != "success":
        raise NotMeasured(f"the query was refused: {shown(str(found.get('error', f'status {answer.status}')), 300)}")
    warnings = [str(one) for one in found.get("warnings") or () if not str(one).startswith(_NOT_A_WARNING)]
    if warnings or found.get("isPartial"):
        raise NotMeasured(f"the answer is partial: {shown('; '.join(warnings) or 'a store did not answer', 300)}")
    try:
        data = found["data"]
        return _rows(data["resultType"], data["result"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NotMeasured(f"the answer is not one of Prometheus' API: {type(error).__name__} {error}") from error


def _rows(kind: str, result: Any) -> list[Row]:
    if kind == "scalar":
        return [Row({}, (float(result[1]),))]
    if kind == "vector":
        return [Row(one["metric"], (float(one["value"][1]),)) for one in result]
    if kind == "matrix":
        return [Row(one["metric"], tuple(float(value) for _, value in one["values"])) for one in result]
    raise ValueError(f"a {kind} is no number")


def single(rows: Sequence[Row]) -> Row | None:
    """The one series, if there is one. NotMeasured where there are several."""
    if len(rows) > 1:
        some = ", ".join(_labels(row) for row in rows[:3]) + (", ..." if len(rows) > 3 else "")
        raise NotMeasured(f"{len(rows)} series where one was meant ({some}): aggregate them")
    return rows[0] if rows else None


def only(rows: Sequence[Row]) -> tuple[float, ...]:
    """The values of the one series. NotMeasured where there is none or are several, or where one is no number."""
    row = single(rows)
    if row is None or not row.values:
        raise NotMeasured("no data: no series matches")
    if strange := [value for value in row.values if not math.isfinite(value)]:
        raise NotMeasured(f"the value is {strange[0]}: something was divided by zero, as where there is no traffic")
    return row.values


def _labels(row: Row) -> str:
    return shown("{" + ", ".join(f"{name}={value}" for name, value in sorted(row.labels.items())) + "}", 120)


def after_the_action(place: Place, reach_s: float) -> None:
    """NotMeasured while a query that looks so far back would see what was before the action."""
    if place.acted_at is not None and reach_s > (ago := time.monotonic() - place.acted_at):
        raise NotMeasured(f"the query looks back {reach_s:g} s, over the action {ago:.0f} s ago")
