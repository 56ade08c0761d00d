"""An outage: the services that fail together with one service, and which of them must be healed before it (spec section 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from sre_responder.home.catalogue import Catalogue
from sre_responder.home.graph import Graph
from sre_responder.ledger import attempts, audit, incidents
from sre_responder.ledger.schema import symptoms
from sre_responder.model.facts import Attempt

TIERS = ("edge", "middleware", "backend")
"""From the users inwards: what is further in is healed first."""


@dataclass(frozen=True)
class Outage:
    """What stands around one service: its incident, and every open incident of what it needs, what depends on it, or is nearby."""

    incidents: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """Every service that fails or was acted on in it."""
    failing: tuple[str, ...] = ()
    """The other services that were not measured healthy since they failed."""
    first: tuple[str, ...] = ()
    """Those of them that must be healed before this one."""
    cycle: tuple[str, ...] = ()
    """Failing services that this one depends on and that depend on it: they count as one with it."""
    at_work: tuple[str, ...] = ()
    """Other services that an action of this outage is changing now."""
    last: Attempt | None = None
    """The last remediation of another service."""
    proven: bool = True
    """Whether that one stayed healthy for its canary."""
    downstream: tuple[str, ...] = ()
    """Who depends on this service, directly or through others."""
    before: Mapping[str, str] = field(default_factory=dict)
    """How each service downstream was when it was first measured in this outage."""
    broke: tuple[str, ...] = ()
    """Services downstream that an action of this outage broke, although it healed its own."""


def outage(connection: Connection, graph: Graph, incident: str, service: str, environment: str) -> Outage:
    """The outage around a service; an empty one if the catalogue does not have it, which the gate `radius` refuses."""
    catalogue = graph.catalogue
    if service not in catalogue.services:
        return Outage()
    reach = graph.radius(service)
    needs, dependents = set(graph.dependencies.upstream(service)), set(reach.downstream)
    related = {service, *needs, *dependents, *reach.neighbours}
    rows = [
        row
        for row in incidents.open_now(connection)
        if row.environment == environment and (row.id == incident or row.service in related)
    ]
    numbers = tuple(dict.fromkeys([incident, *(row.id for row in rows)]))
    made = sorted((one for number in numbers for one in _remediations(connection, number)), key=lambda one: one.id)
    opened = {row.service: row for row in reversed(rows)}
    services = {*opened, *(attempt.service for attempt in made), service}
    failing = {one for one in services - {service} if not _healed(connection, environment, one, opened.get(one), made)}
    ring = needs & dependents & set(catalogue.services)  # what cannot be read may come first, and is in no ring
    deeper = {one for one in services - dependents if _tier(catalogue, one) > _tier(catalogue, service) >= 0}
    others = [one for one in made if one.service != service]
    done = [one for one in others if one.outcome is not None]
    last = done[-1] if done else None
    return Outage(
        incidents=numbers,
        services=tuple(sorted(services)),
        failing=tuple(sorted(failing)),
        first=tuple(sorted(failing & ((needs - ring) | deeper))),
        cycle=tuple(sorted(failing & ring)),
        at_work=tuple(sorted({one.service for one in others if one.outcome is None})),
        last=last,
        proven=last is None or _proven(connection, environment, last),
        downstream=tuple(sorted(dependents - {service})),
        before=_before(connection, numbers),
        broke=_broke(connection, numbers),
    )


def _remediations(connection: Connection, incident: str) -> Sequence[Attempt]:
    """What was done in an incident to heal; containment and undo are beside the order."""
    return [one for one in attempts.of_incident(connection, incident) if one.rung > 0]


def _healed(
    connection: Connection, environment: str, service: str, opened: Row[Any] | None, made: Sequence[Attempt]
) -> bool:
    """Whether a service was measured healthy since it failed, and was not measured unhealthy after that."""
    mine = [one for one in made if one.service == service]
    names = {one.symptom for one in mine}
    if opened is not None and opened.failure_class:
        names.add(f"{environment}:{service}:{opened.failure_class}")
    if _unhealthy(connection, names):
        return False
    since = opened.opened_at if opened is not None else mine[0].started_at
    improved = bool(mine) and mine[-1].outcome == "improved"
    return improved or incidents.healthy_at(connection, environment, service) >= since


def _unhealthy(connection: Connection, names: set[str]) -> bool:
    """Whether any of these symptoms was there when it was last looked for."""
    there = select(symptoms.c.symptom).where(symptoms.c.symptom.in_(names), symptoms.c.last_healthy.is_(None))
    return connection.execute(there.limit(1)).first() is not None


def _proven(connection: Connection, environment: str, last: Attempt) -> bool:
    """Whether the service of an attempt stayed healthy: through its canary, or as the loop gate has it."""
    if _unhealthy(connection, {last.symptom}):
        return False
    passed = audit.entries(connection, incident=last.incident, type="canary.passed")
    through = any(entry.data.get("attempt") == last.id for entry in passed)
    return through or incidents.healthy_at(connection, environment, last.service) >= last.started_at


def _before(connection: Connection, numbers: Sequence[str]) -> dict[str, str]:
    """Each service downstream as the first action that measured it has it on the record."""
    entries = [one for number in numbers for one in audit.entries(connection, incident=number, type="action.started")]
    first: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.id):
        first = {**(entry.data.get("evidence") or {}).get("downstream", {}), **first}
    return first


def _broke(connection: Connection, numbers: Sequence[str]) -> tuple[str, ...]:
    """What the canaries of actions that helped have lost downstream."""
    failed = (one for number in numbers for one in audit.entries(connection, incident=number, type="canary.failed"))
    return tuple(sorted({name for entry in failed if entry.data["healed"] for name in entry.data["broken"]}))


def _tier(catalogue: Catalogue, service: str) -> int:
    """How far in a service stands; -1 if that is not known."""
    known = catalogue.services.get(service)
    return TIERS.index(known.tier) if known is not None and known.tier else -1
