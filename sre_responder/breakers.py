"""What is closed off now: remedies that did not last, and rollbacks that failed, each by the name that acknowledges it."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, func, select

from sre_responder.guard.loop import closed_off_at
from sre_responder.guard.rollback import standing
from sre_responder.ledger import attempts
from sre_responder.ledger.schema import attempts as table
from sre_responder.ledger.schema import symptoms
from sre_responder.names import ENVIRONMENTS
from sre_responder.policy import Policy


def closed_off(connection: Connection, now: float, policy: Policy) -> dict[str, float]:
    """Each closed-off breaker and since when. One that a person allowed a trial of is still closed off until it heals."""
    rows = connection.execute(
        select(table.c.symptom, table.c.action, table.c.started_at)
        .outerjoin(symptoms, symptoms.c.symptom == table.c.symptom)
        .where(table.c.started_at >= func.coalesce(symptoms.c.recovered_at, 0.0), attempts.MADE)
    )
    times: dict[str, list[float]] = defaultdict(list)
    for symptom, action, started in rows:
        times[f"{symptom}:{action}"].append(started)
    window = policy.loop.window_minutes * 60
    found = {name: closed_off_at(tries, policy.loop.attempts, window) for name, tries in times.items()}
    for environment in ENVIRONMENTS:
        made = attempts.rollbacks(connection, environment)
        if made and standing(made, now, policy.rollbacks).blocked:
            found[f"rollbacks:{environment}"] = made[-1].started_at
    return {name: since for name, since in found.items() if since is not None}
