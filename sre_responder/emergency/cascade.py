"""A cascade: remedies fail on many services at once, so healing one by one is over and people take over (spec section 5)."""

from __future__ import annotations

from sqlalchemy import Connection, select

from sre_responder.emergency import stop
from sre_responder.home.policy import Cascade
from sre_responder.ledger import attempts, clock
from sre_responder.ledger.schema import stops

HOLDER = "responder: cascade"


def check(connection: Connection, now: float, limits: Cascade, environment: str) -> str | None:
    """Raise the emergency stop of an environment where too many services fail; gives its name. Once, until it is lifted."""
    if limits.services is None:
        return None
    began = clock.began(connection, now, limits.window_minutes * 60)
    failing = attempts.failing(connection, environment, began)
    if len(failing) < limits.services:
        return None
    standing = select(stops.c.id).where(
        stops.c.holder == HOLDER, stops.c.environment == environment, stops.c.lifted_at.is_(None)
    )
    if connection.execute(standing.limit(1)).scalar() is not None:
        return None
    reason = f"remedies failed on {len(failing)} services within {limits.window_minutes} minutes: {', '.join(failing)}"
    return stop.raise_(connection, now, HOLDER, reason, environment=environment)
