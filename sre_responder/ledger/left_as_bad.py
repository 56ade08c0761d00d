"""States that a rollback left because they were bad: who meets one again is told when, and in which incident (spec section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from sre_responder.effects import restored
from sre_responder.ledger import attempts, audit, plans
from sre_responder.model.plan import Plan


@dataclass(frozen=True)
class Left:
    """The state before a rollback after which the service was better, and which nobody has undone."""

    attempt: int
    incident: str
    at: float
    host: str
    plan: Plan

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.incident} left as bad on {audit.iso(self.at)[:10]}"

    def is_state(self, state: Mapping[str, Any]) -> bool:
        """Whether a state of the same target is this one; that of another kind of action says nothing of it."""
        try:
            return restored(self.plan, state)
        except KeyError:
            return False


def of_service(connection: Connection, service: str, environment: str) -> tuple[Left, ...]:
    """What the latest rollbacks of a service left, the newest first."""
    made = [one for one in attempts.rollbacks(connection, environment) if one.service == service]
    return tuple(
        Left(one.id, one.incident, row.ended_at, row.host, plans.of(plans.find(connection, row.plan)))
        for one in reversed(made)
        if one.outcome == "improved"
        for row in attempts.effects_of(connection, one.id)
        if row.state == "done" and row.undone_at is None
    )


def warnings(connection: Connection, plan: Plan) -> list[str]:
    """What a plan says of states that were left as bad: that it goes back to one, or that its target is in one again."""
    said = []
    for left in of_service(connection, plan.service, plan.environment):
        if left.plan.target != plan.target:
            continue
        if left.is_state(plan.before):
            said.append(f"{plan.target} is again in the state that {left}")
        elif left.is_state(plan.after):
            said.append(f"this returns {plan.target} to the state that {left}")
    return said
