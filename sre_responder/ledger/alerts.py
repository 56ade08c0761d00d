"""Alerts in the ledger: one row from the start of each to its end, and the sum that shows whether one was lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, insert, select, update

from sre_responder.ledger import audit
from sre_responder.ledger.schema import alerts, intake
from sre_responder.model.names import shown

RECEIVED = "received"
"""The name under which alerts are counted as they come in, apart from the rows that say how each ended."""
_AT_ONCE = 500
"""Rows of one query: a database takes no more than some thousand values."""
_PAGED_SECONDS = 86400
_LEFT_OVER_SECONDS = 30 * 86400
_NAMED = 5


@dataclass
class Episode:
    """One alert from its start to its end, with what became of it; `id` is None until it is written."""

    fingerprint: str
    source: str
    sender: str
    alert: str
    title: str
    starts_at: float
    first_at: float
    last_at: float
    outcome: str
    reason: str
    incident: str | None = None
    ends_at: float | None = None
    times: int = 0
    id: int | None = None


@dataclass(frozen=True)
class Totals:
    """How many reports came in, how many alerts they were of by how each ended, and how many were reports of one that was known."""

    received: int
    repeated: int
    ended: dict[str, int]

    @property
    def lost(self) -> int:
        """What came in and ended in no way: 0, or something is wrong with Responder."""
        return self.received - self.repeated - sum(self.ended.values())


def latest(connection: Connection, fingerprints: Collection[str]) -> dict[str, Episode]:
    """Of each fingerprint the episode that started last."""
    found: dict[str, Episode] = {}
    for some in _batched(fingerprints):
        query = select(alerts).where(alerts.c.fingerprint.in_(some)).order_by(alerts.c.starts_at, alerts.c.id)
        found |= {row.fingerprint: Episode(**row._mapping) for row in connection.execute(query)}
    return found


def write(connection: Connection, episodes: Iterable[Episode]) -> None:
    """Write the episodes that are new, and what changed in the others."""
    rows = [vars(one) for one in episodes]
    new = [{name: value for name, value in row.items() if name != "id"} for row in rows if row["id"] is None]
    if new:
        connection.execute(insert(alerts), new)
    if known := [row | {"row": row["id"]} for row in rows if row["id"] is not None]:
        values: dict[str, Any] = {
            name: bindparam(name)
            for name in ("starts_at", "ends_at", "outcome", "reason", "incident", "times", "last_at")
        }
        connection.execute(update(alerts).where(alerts.c.id == bindparam("row")).values(values), known)


def paged_already(connection: Connection, now: float, reason: str) -> bool:
    """Whether people were paged for this reason within a day, for an alert that still fires."""
    recent = alerts.c.last_at > now - _PAGED_SECONDS
    query = select(alerts.c.id).where(alerts.c.outcome == "paged", alerts.c.ends_at.is_(None), recent)
    return connection.execute(query.where(alerts.c.reason == reason).limit(1)).first() is not None


def left_over(connection: Connection, now: float, reasons: Collection[str]) -> list[str]:
    """The names of alerts that were ignored for one of these reasons and still fire, the oldest first."""
    query = select(alerts.c.alert).where(_still(now, reasons)).order_by(alerts.c.id)
    return list(connection.execute(query).scalars()) if reasons else []


def page_left_over(connection: Connection, now: float, reason: str) -> None:
    """Page once for the alerts that were ignored for a reason which holds no more, and that still fire."""
    if found := left_over(connection, now, [reason]):
        names = [*dict.fromkeys(found)]
        text = f"{', '.join(map(shown, names[:_NAMED]))}{' and others' if len(names) > _NAMED else ''} still fired at the end of {reason}"
        connection.execute(update(alerts).where(_still(now, [reason])).values(outcome="paged", reason=text))
        audit.append(
            connection, now, "alert.paged", "alert", f"{text}. See: responder alerts", notify="on_call", alerts=len(found)
        )  # fmt: skip


def _still(now: float, reasons: Collection[str]) -> ColumnElement[bool]:
    ignored = and_(alerts.c.outcome == "ignored", alerts.c.last_at > now - _LEFT_OVER_SECONDS)
    return and_(ignored, alerts.c.ends_at.is_(None), alerts.c.reason.in_(reasons))


def count(connection: Connection, now: float, name: str, by: int, last: str = "") -> None:
    """Add to a count of what came in, with the last reason for it."""
    values = {"count": intake.c.count + by, "last_at": now, "last": last}
    if not connection.execute(update(intake).where(intake.c.name == name).values(values)).rowcount:
        connection.execute(insert(intake).values(name=name, count=by, last_at=now, last=last))


def counts(connection: Connection) -> list[Row[Any]]:
    """What was counted of requests that held no alerts, by why they were turned away."""
    return list(connection.execute(select(intake).where(intake.c.name != RECEIVED).order_by(intake.c.name)))


def totals(connection: Connection) -> Totals:
    received = connection.execute(select(intake.c.count).where(intake.c.name == RECEIVED)).scalar() or 0
    by_outcome = select(alerts.c.outcome, func.count(), func.sum(alerts.c.times)).group_by(alerts.c.outcome)
    rows = connection.execute(by_outcome).all()
    repeated = sum(int(times) - count for _, count, times in rows)
    return Totals(received, repeated, {outcome: count for outcome, count, _ in rows})


def recent(connection: Connection, limit: int, outcome: str | None = None) -> list[Row[Any]]:
    """The alerts that came in last, the newest first."""
    query = select(alerts).order_by(alerts.c.last_at.desc(), alerts.c.id.desc()).limit(limit)
    return list(connection.execute(query if outcome is None else query.where(alerts.c.outcome == outcome)))


def _batched(values: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(values)
    return (ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE))
