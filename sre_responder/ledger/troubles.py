"""When services were unhealthy, by their incidents and by the alerts that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from sre_responder.ledger.schema import alerts, incidents


@dataclass(frozen=True)
class Trouble:
    """A service of an environment, from when to when; no end while it lasts."""

    service: str
    environment: str
    began_at: float
    ended_at: float | None

    def at(self, time: float) -> bool:
        return self.began_at < time and (self.ended_at is None or self.ended_at >= time)


def troubles(connection: Connection, since: float) -> list[Trouble]:
    """All that were not over by then."""
    began = func.coalesce(incidents.c.started_at, incidents.c.opened_at)
    lasted = or_(incidents.c.closed_at.is_(None), incidents.c.closed_at >= since)
    opened = select(incidents.c.service, incidents.c.environment, began, incidents.c.closed_at).where(lasted)
    fired = (
        select(incidents.c.service, incidents.c.environment, alerts.c.starts_at, alerts.c.ends_at)
        .join(incidents, alerts.c.incident == incidents.c.id)
        .where(or_(alerts.c.ends_at.is_(None), alerts.c.ends_at >= since))
    )
    return [Trouble(*row) for query in (opened, fired) for row in connection.execute(query)]
