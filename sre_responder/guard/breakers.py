"""What is locked out now: remediations that did not last, and rollbacks that failed, each by the name that resets it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select

from sre_responder.guard.gates.loop import locked_out_at, lockout
from sre_responder.guard.gates.rollback import standing
from sre_responder.home.policy import Policy
from sre_responder.ledger import attempts, clock
from sre_responder.ledger.schema import attempts as table
from sre_responder.ledger.schema import effects, symptoms
from sre_responder.model.names import ENVIRONMENTS


def tries(connection: Connection) -> Mapping[str, Sequence[float]]:
    """When each remediation of a target was tried since its symptom was healthy, by the name that allows another attempt."""
    rows = connection.execute(
        select(table.c.symptom, table.c.action, effects.c.target, table.c.started_at)
        .outerjoin(symptoms, symptoms.c.symptom == table.c.symptom)
        .outerjoin(effects, effects.c.attempt == table.c.id)
        .where(table.c.started_at >= func.coalesce(symptoms.c.recovered_at, 0.0), attempts.MADE)
    )
    times: dict[str, list[float]] = defaultdict(list)
    for symptom, action, target, started in rows:
        times[lockout(symptom, action, target)].append(started)
    return times


def locked_out(connection: Connection, now: float, policy: Policy) -> dict[str, float]:
    """Each lockout and since when. One that a person allowed a retry of is still locked out until it heals."""
    window = policy.loop.window_minutes * 60
    jumps = clock.jumps(connection, now)
    tried = tries(connection).items()
    found = {name: locked_out_at(times, policy.loop.attempts, window, jumps) for name, times in tried}
    for environment in ENVIRONMENTS:
        made = attempts.rollbacks(connection, environment)
        if made and standing(made, now, policy.rollbacks, jumps).blocked:
            found[f"rollbacks:{environment}"] = made[-1].started_at
    return {name: since for name, since in found.items() if since is not None}
