"""A cascade: healing one service after the other is over, so the emergency stop is raised and people take over (spec section 5).

Either remedies fail on many services, or many services newly fail downstream of what was acted on.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from sre_responder.emergency import stop
from sre_responder.home import Home
from sre_responder.home.graph import Graph
from sre_responder.ledger import attempts, audit, clock, incidents
from sre_responder.ledger.schema import stops

HOLDER = "responder: cascade"


def check(connection: Connection, now: float, home: Home, environment: str) -> str | None:
    """Raise the emergency stop of an environment where too many services fail; gives its name. Once, until it is lifted."""
    limits = home.policy.cascade
    began = clock.began(connection, now, limits.window_minutes * 60)
    failing = attempts.failing(connection, environment, began) if limits.services else ()
    broken = newly_failing(connection, began, home.graph, environment) if limits.downstream else ()
    reasons = []
    if limits.services and len(failing) >= limits.services:
        reasons.append(f"remedies failed on {len(failing)} services within {limits.window_minutes} minutes: {', '.join(failing)}")  # fmt: skip
    if limits.downstream and len(broken) >= limits.downstream:
        reasons.append(
            f"{len(broken)} services newly failed within {limits.window_minutes} minutes downstream of what was acted on: "
            f"{', '.join(broken)}"
        )
    if not reasons or standing(connection, environment):
        return None
    return stop.raise_(connection, now, HOLDER, "; ".join(reasons), environment=environment)


def standing(connection: Connection, environment: str) -> bool:
    """Whether the stop of a cascade is active in an environment."""
    active = select(stops.c.id).where(
        stops.c.holder == HOLDER, stops.c.environment == environment, stops.c.lifted_at.is_(None)
    )
    return connection.execute(active.limit(1)).scalar() is not None


def newly_failing(connection: Connection, began: float, graph: Graph, environment: str) -> tuple[str, ...]:
    """The services that failed since then and after an action on what they depend on: as alerts opened incidents, or canaries saw it."""
    acted = attempts.acted_on(connection, environment, began)
    first = {row.service: row.started_at for row in reversed(acted)}
    downstream = {one: graph.radius(one).downstream for one in first if one in graph.catalogue.services}
    alerted = {
        row.service
        for row in incidents.opened_since(connection, environment, began)
        if any(row.service in names and row.began_at > first[one] for one, names in downstream.items())
    }
    seen = {
        name
        for incident in {row.incident for row in acted}
        for entry in audit.entries(connection, incident=incident, type="canary.failed", since=began)
        if entry.data["environment"] == environment
        for name in entry.data["broken"]
    }
    return tuple(sorted(alerted | seen))
