"""Heartbeats in the ledger: when each alert that always fires arrived last, and whether its absence was paged."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from sre_responder.ledger import audit, clock
from sre_responder.ledger.schema import heartbeats


def beat(connection: Connection, now: float, name: str) -> None:
    """It arrived. One that was missed is on the record as back."""
    row = connection.execute(select(heartbeats).where(heartbeats.c.name == name)).one_or_none()
    if row is None:
        connection.execute(insert(heartbeats).values(name=name, last_at=now))
        return
    connection.execute(update(heartbeats).where(heartbeats.c.name == name).values(last_at=now, paged_at=None))
    if row.paged_at is not None:
        audit.append(
            connection,
            now,
            "heartbeat.returned",
            "responder",
            f"heartbeat {name} arrives again",
            notify="on_call",
            heartbeat=name,
        )


def expect(connection: Connection, now: float, names: Mapping[str, float]) -> None:
    """Wait for these from now on, where none has arrived yet."""
    for name in unknown(connection, names):
        connection.execute(insert(heartbeats).values(name=name, last_at=now))


def unknown(connection: Connection, names: Mapping[str, float]) -> set[str]:
    """Those of which none has arrived, and for which nothing waits yet."""
    return names.keys() - set(connection.execute(select(heartbeats.c.name)).scalars())


def late(connection: Connection, now: float, minutes: Mapping[str, float]) -> list[str]:
    """Those that did not arrive for as many minutes, and that nobody was paged for yet."""
    rows = connection.execute(select(heartbeats).where(heartbeats.c.paged_at.is_(None)))
    return [
        row.name
        for row in rows
        if row.name in minutes and row.last_at < clock.began(connection, now, minutes[row.name] * 60)
    ]


def page(connection: Connection, now: float, minutes: Mapping[str, float]) -> None:
    """Page for each that is late, once."""
    for name in late(connection, now, minutes):
        connection.execute(update(heartbeats).where(heartbeats.c.name == name).values(paged_at=now))
        audit.append(
            connection, now, "heartbeat.missed", "responder",
            f"heartbeat {name} did not arrive for {minutes[name]:g} min: alerts may not reach Responder. Check the sender and the"
            " way between; see: responder alerts", notify="on_call", heartbeat=name,
        )  # fmt: skip
