"""Incidents in the ledger: open, join, read, close; and the health that was measured of a symptom."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from sre_responder.errors import InputError
from sre_responder.guard.snapshot import Incident
from sre_responder.ledger import audit
from sre_responder.ledger.schema import incidents, symptoms
from sre_responder.names import shown


def open_(
    connection: Connection,
    now: float,
    *,
    service: str,
    environment: str,
    severity: str,
    title: str,
    actor: str,
    id: str | None = None,
    fingerprint: str | None = None,
    started_at: float | None = None,
) -> tuple[str, bool]:
    """Open an incident, or join the open one of that number or alert. Gives its number and whether it is new."""
    joined = select(incidents.c.id).where(incidents.c.status == "open")
    if id is not None:
        found = get(connection, id)
        if found is not None:
            if (found.service, found.environment) != (service, environment):
                raise InputError(
                    f"incident {id} is about {found.service} in {found.environment}.", cure="Use another number."
                )
            return id, False
    elif fingerprint is not None:
        joined = joined.where(
            incidents.c.service == service,
            incidents.c.environment == environment,
            incidents.c.fingerprint == fingerprint,
        )
        existing = connection.execute(joined).scalar()
        if existing:
            return str(existing), False
    last = connection.execute(select(func.max(incidents.c.id)).where(func.length(incidents.c.id) == 9)).scalar()
    number = id or f"INC-{int(last[4:]) + 1 if last else 1:05d}"
    connection.execute(
        insert(incidents).values(
            id=number,
            service=service,
            environment=environment,
            severity=severity,
            title=shown(title),
            status="open",
            fingerprint=fingerprint,
            started_at=started_at,
            opened_at=now,
        )
    )
    audit.append(
        connection, now, "incident.opened", actor, f"{severity} {service} in {environment}: {title}", incident=number,
        service=service, environment=environment, severity=severity, started_at=started_at,
    )  # fmt: skip
    return number, True


def get(connection: Connection, id: str) -> Row[Any] | None:
    """The row of one incident."""
    return connection.execute(select(incidents).where(incidents.c.id == id)).one_or_none()


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
    audit.append(connection, now, "incident.closed", actor, f"{id} closed", incident=id)


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
    if since is not None and now - since >= healthy_seconds and (recovered is None or recovered < since):
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
