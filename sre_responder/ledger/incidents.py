"""Incidents in the ledger: open, join, read, close; and the health that was measured of a symptom."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from sre_responder.errors import InputError
from sre_responder.ledger import audit, clock
from sre_responder.ledger.schema import incidents, symptoms
from sre_responder.model.facts import Incident
from sre_responder.model.names import SEVERITIES, shown

SKEW_SECONDS = 60
"""An alert may begin this far ahead of our clock; what began later still did not begin then, so that is unknown."""


def open_(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    *,
    service: str,
    environment: str,
    severity: str,
    title: str,
    actor: str,
    id: str | None = None,
    failure_class: str | None = None,
    started_at: float | None = None,
) -> tuple[str, bool]:
    """Open an incident, or join the open one of that number or symptom. Gives its number and whether it is new.

    A symptom is a service, an environment and a class of failure, whichever alert told of it. An incident that an alert
    joins takes its severity and title, if it is more severe.
    """
    found = _joined(connection, service, environment, id, failure_class)
    if found is not None:
        if id is None:
            _raise_severity(connection, now, found, severity, title, actor)
        return str(found.id), False
    number = id or _free_number(connection)
    started_at = min(started_at, now) if started_at is not None and started_at <= now + SKEW_SECONDS else None
    connection.execute(
        insert(incidents).values(
            id=number,
            service=service,
            environment=environment,
            severity=severity,
            title=shown(title),
            status="open",
            failure_class=failure_class,
            started_at=started_at,
            opened_at=now,
        )
    )
    audit.append(
        connection, now, "incident.opened", actor, f"{severity} {service} in {environment}: {title}", incident=number,
        service=service, environment=environment, severity=severity, started_at=started_at,
    )  # fmt: skip
    return number, True


def _joined(
    connection: Connection, service: str, environment: str, id: str | None, failure_class: str | None
) -> Row[Any] | None:
    """The open incident that is joined; InputError if the number is that of another one, or of one that is closed."""
    if id is not None:
        found = get(connection, id)
        if found is None:
            return None
        if (found.service, found.environment) != (service, environment):
            raise InputError(
                f"incident {id} is about {found.service} in {found.environment}.", cure="Use another number."
            )
        if found.status != "open":
            raise InputError(f"incident {id} is {found.status}.", cure="Use another number, or none to get a new one.")
        return found
    if failure_class is None:
        return None
    symptom = {"service": service, "environment": environment, "failure_class": failure_class, "status": "open"}
    return connection.execute(select(incidents).filter_by(**symptom).order_by(incidents.c.opened_at)).first()


def _raise_severity(connection: Connection, now: float, found: Row[Any], severity: str, title: str, actor: str) -> None:
    """What joins an incident may raise its severity, and never lowers it."""
    if found.severity is not None and SEVERITIES.index(severity) >= SEVERITIES.index(found.severity):
        return
    connection.execute(
        update(incidents).where(incidents.c.id == found.id).values(severity=severity, title=shown(title))
    )
    audit.append(
        connection, now, "incident.severity_raised", actor, f"{found.severity} to {severity}: {title}", incident=found.id,
        severity=severity, before=found.severity,
    )  # fmt: skip


def _free_number(connection: Connection) -> str:
    """The next number that is not taken: one that people gave by hand, however high, does not move the count."""
    count = connection.execute(select(func.count()).select_from(incidents)).scalar_one()
    while get(connection, number := f"INC-{count + 1:05d}") is not None:
        count += 1
    return number


def get(connection: Connection, id: str) -> Row[Any] | None:
    """The row of one incident."""
    return connection.execute(select(incidents).where(incidents.c.id == id)).one_or_none()


def open_now(connection: Connection) -> list[Row[Any]]:
    """The open incidents, the oldest first."""
    query = select(incidents).where(incidents.c.status == "open").order_by(incidents.c.opened_at)
    return list(connection.execute(query))


def opened_since(connection: Connection, environment: str, since: float) -> list[Row[Any]]:
    """The open incidents of an environment that were opened since then, each with when its failure began, as far as that is known."""
    began = func.coalesce(incidents.c.started_at, incidents.c.opened_at).label("began_at")
    query = select(incidents.c.id, incidents.c.service, began)
    new = query.where(
        incidents.c.status == "open", incidents.c.environment == environment, incidents.c.opened_at >= since
    )
    return list(connection.execute(new))


def severities(connection: Connection, ids: Collection[str]) -> tuple[str, ...]:
    """The severities of these incidents."""
    rows = connection.execute(select(incidents.c.severity).where(incidents.c.id.in_(ids)).distinct()).scalars()
    return tuple(sorted(severity for severity in rows if severity))


def fact(connection: Connection, id: str) -> Incident | None:
    """One incident as the gates see it."""
    row = get(connection, id)
    return Incident(row.id, row.service, row.environment, row.severity, row.status) if row else None


def close(connection: Connection, now: float, id: str, actor: str) -> None:
    """Mark an incident closed."""
    connection.execute(update(incidents).where(incidents.c.id == id).values(status="closed", closed_at=now))
    audit.append(connection, now, "incident.closed", actor, f"{id} closed", incident=id, notify="on_call")


def observe(
    connection: Connection,
    now: float,
    symptom: str,
    healthy: bool,
    healthy_seconds: float,
    *,
    began: float | None = None,
) -> None:
    """Record one measurement of a symptom's health; a long enough healthy period starts its counts anew.

    `began` is when the first of its good samples was taken. Two measurements further apart than the period itself do not make one period: nobody saw what was between.
    """
    began = min(began or now, now)
    row = connection.execute(select(symptoms).where(symptoms.c.symptom == symptom)).one_or_none()
    if row is None:
        connection.execute(insert(symptoms).values(symptom=symptom))
    joined = row is not None and row.last_healthy is not None and began - row.last_healthy <= max(healthy_seconds, 1)
    since = None if not healthy else row.healthy_since if row is not None and joined else began
    recovered = row.recovered_at if row is not None else None
    enough = clock.began(connection, now, healthy_seconds)
    if since is not None and since <= enough and (recovered is None or recovered < since):
        recovered = now
        # On the record, which moves the ledger's own time: a clock set back hides nothing behind this.
        audit.append(
            connection, now, "symptom.recovered", "responder", f"{symptom} was healthy for {healthy_seconds:g} s"
        )
    connection.execute(
        update(symptoms)
        .where(symptoms.c.symptom == symptom)
        .values(healthy_since=since, last_healthy=now if healthy else None, recovered_at=recovered)
    )


def recovered_at(connection: Connection, symptom: str) -> float:
    """When the symptom was last measured healthy for long enough; 0 where it never was."""
    return connection.execute(select(symptoms.c.recovered_at).where(symptoms.c.symptom == symptom)).scalar() or 0.0


def healthy_at(connection: Connection, environment: str, service: str) -> float:
    """When a service was last seen to stay healthy, by whichever of its symptoms; 0 where nobody has seen that."""
    mine = symptoms.c.symptom.startswith(f"{environment}:{service}:", autoescape=True)
    return connection.execute(select(func.max(symptoms.c.recovered_at)).where(mine)).scalar() or 0.0
