"""By how much the clock jumped: what nobody lived through ends no window (a lockout, a limit of rollbacks, a containment's time)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from sre_responder.ledger.schema import audit, chain

JUMPED = "clock.jumped"
SLACK_SECONDS = 60
"""A clock that is corrected by less has not jumped."""


@dataclass(frozen=True)
class Reading:
    """The time of day, in seconds since the epoch, beside the boot of this machine and the seconds since, which nobody sets."""

    wall: float
    boot: str
    uptime: float


@dataclass(frozen=True)
class Jump:
    """The ledger's time moved on by so many seconds that did not pass, at the entry of that time."""

    at: float
    seconds: float


def read(connection: Connection) -> Reading:
    """What the clocks say now, of the ledger to which this connection belongs."""
    reading: Reading = connection.get_execution_options()["clock"](connection)
    return reading


def ahead(connection: Connection) -> float:
    """By how many seconds the last entry is dated ahead of the clock. Until then the ledger's time stands still, and nothing in it expires."""
    last = connection.execute(select(chain.c.at)).scalar_one()
    return max(0.0, float(last) - read(connection).wall)


def pending(connection: Connection, head: Row[Any], seen: Reading) -> float:
    """By how many seconds the clock jumped since the last entry, or stands behind it without a jump on the record; 0 if it did not."""
    if not head.id:
        return 0.0
    jumped = _moved(head, seen) if seen.boot and seen.boot == head.boot else 0.0
    if (behind := head.at - seen.wall) > SLACK_SECONDS:
        # Which of the two clocks is wrong nobody knows: what lies between them may not have passed.
        behind -= sum(jump.seconds for jump in recorded(connection) if jump.at > seen.wall)
    return seconds if (seconds := max(jumped, behind)) > SLACK_SECONDS else 0.0


def _moved(head: Row[Any], seen: Reading) -> float:
    """By how much more the clock moved on than this machine did; what lies behind the last entry moves the ledger's time by nothing."""
    return float(min(seen.wall - head.wall - (seen.uptime - head.uptime), seen.wall - head.at))


def recorded(connection: Connection) -> list[Jump]:
    """The jumps that are on the record, the newest first."""
    query = select(audit.c.at, audit.c.data).where(audit.c.incident.is_(None), audit.c.type == JUMPED)
    rows = connection.execute(query.order_by(audit.c.id.desc()))
    return [Jump(datetime.fromisoformat(at).timestamp(), json.loads(data)["seconds"]) for at, data in rows]


def jumps(connection: Connection, now: float) -> tuple[Jump, ...]:
    """Every jump until now, the newest first: those on the record, and the one that the next entry will put there."""
    head = connection.execute(select(chain)).one()
    seconds = pending(connection, head, read(connection))
    return (*([Jump(now, seconds)] if seconds else ()), *recorded(connection))


def began(connection: Connection, now: float, seconds: float) -> float:
    """When a window of so many seconds that ends `now` began, by the jumps of this ledger."""
    return before(now, seconds, jumps(connection, now))


def before(now: float, seconds: float, jumps: Sequence[Jump]) -> float:
    """When a window of so many seconds that ends `now` began, in the ledger's time. `jumps`: the newest first; each in it makes it longer."""
    began = now - seconds
    for jump in jumps:
        if began < jump.at <= now:
            began -= jump.seconds
    return began
