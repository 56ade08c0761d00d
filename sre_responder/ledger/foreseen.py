"""Undo that a plan itself has foreseen: of containment whose time is over, of a remediation that made nothing better."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row

from sre_responder.ledger import attempts, clock, plans
from sre_responder.model.actions import ACTIONS


def ends_at(connection: Connection, effect: Row[Any]) -> float | None:
    """When what was contained is to be undone, by the ledger's clock; None where it stays until somebody undoes it."""
    plan = plans.of(plans.find(connection, effect.plan))
    spec = ACTIONS.get(plan.action)
    if spec is None or not spec.minutes:
        return None
    return float(effect.ended_at) + float(plan.arguments[spec.minutes]) * 60


def due(connection: Connection, now: float) -> tuple[int, ...]:
    """The attempts of which all that is still contained is over by its own plan."""
    over: dict[int, bool] = {}
    jumps = clock.jumps(connection, now)
    for row in attempts.contained(connection):
        at = ends_at(connection, row)
        ended = at is not None and row.ended_at <= clock.before(now, at - row.ended_at, jumps)
        over[row.attempt] = over.get(row.attempt, True) and ended
    return tuple(attempt for attempt, all_over in over.items() if all_over)


def reason(connection: Connection, now: float, attempt: int) -> str:
    """What its own plan named as the reason to undo an attempt, and has come; empty where nothing of it has.

    Whoever approved the plan approved that end of it too.
    """
    if attempt in due(connection, now):
        return "its time is over"
    made = attempts.get(connection, attempt)
    acted = [row for row in attempts.effects_of(connection, attempt) if row.observed not in (None, "null")]
    wanted = {plans.of(plans.find(connection, row.plan)).if_worse for row in acted}
    return "it made nothing better" if made.outcome in ("not_improved", "unknown") and wanted == {"undo"} else ""
