"""Containment that is only for a time: when it ends, as its plan said."""

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
