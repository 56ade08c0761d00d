"""How the objects of each service were when it was last measured healthy."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from sre_responder.ledger.schema import known_good
from sre_responder.model.known_good import KnownGood


def keep(connection: Connection, now: float, service: str, environment: str, good: KnownGood) -> None:
    """Remember how they are now, in place of what was remembered."""
    key, values = {"service": service, "environment": environment}, {"document": good.document, "at": now}
    if not connection.execute(update(known_good).filter_by(**key).values(**values)).rowcount:
        connection.execute(insert(known_good).values(**key, **values))


def find(connection: Connection, service: str, environment: str) -> KnownGood | None:
    """How they were; None where the service was never measured healthy."""
    row = connection.execute(select(known_good).filter_by(service=service, environment=environment)).one_or_none()
    return KnownGood.of(row.document, row.at) if row else None
