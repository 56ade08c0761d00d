"""Runs in the ledger: who drives what, from which process, and whether it was halted."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from sre_responder.ledger import audit
from sre_responder.ledger.schema import incidents, leases, runs
from sre_responder.system import process
from sre_responder.system.prove import processes_of

MACHINE = socket.gethostname()


def alive(machine: str, pid: int, started: float, space: str | None = None) -> bool | None:
    """Whether that very process lives; None if it cannot be seen from here, because of its machine or its namespace."""
    return process.alive(pid, started, space or "") if machine == MACHINE else None


def here(row: Row[Any]) -> bool:
    """Whether the processes of a run can be seen from here."""
    return row.machine == MACHINE and bool(row.space) and row.space == process.space()


def holders(connection: Connection, id: str) -> list[dict[str, Any]]:
    """The processes that hold a target for a run."""
    held = connection.execute(select(leases.c.holder).where(leases.c.run == id)).scalars()
    return [json.loads(one) for one in held]


def gone(connection: Connection, row: Row[Any]) -> bool:
    """Whether it is proven that nothing of a run lives: its process, those that bear its mark, those that hold a target for it."""
    return (
        alive(row.machine, row.pid, row.pid_started, row.space) is False
        and not processes_of(row.id)
        and all(alive(**one) is False for one in holders(connection, row.id))
    )


def begin(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    id: str,
    *,
    pid: int | None = None,
    driven: bool,
    requester: str,
    incident: str | None = None,
    runbook: str | None = None,
    service: str | None = None,
    environment: str | None = None,
    folder: str | None = None,
    preview: bool = False,
) -> None:
    """Record a run by its process; a run already recorded stays as it is. A preview is no part of its incident's story."""
    if get(connection, id) is not None:
        return
    pid = pid or os.getpid()
    connection.execute(
        insert(runs).values(
            id=id,
            incident=incident,
            runbook=runbook,
            service=service,
            environment=environment,
            machine=MACHINE,
            pid=pid,
            pid_started=process.started(pid),
            space=process.space(),
            driven=driven,
            requester=requester,
            folder=folder,
            started_at=now,
        )
    )
    audit.append(
        connection,
        now,
        "run.started",
        requester,
        f"run {id} of {runbook or 'a playbook'} started on {MACHINE}",
        incident=None if preview else incident,
        run=id,
        preview=preview,
    )


def get(connection: Connection, id: str) -> Row[Any] | None:
    return connection.execute(select(runs).where(runs.c.id == id)).one_or_none()


def runbooks(connection: Connection, incident: str) -> list[str]:
    """The runbooks that were run for an incident, by their names."""
    query = select(runs.c.runbook).where(runs.c.incident == incident, runs.c.runbook.is_not(None)).distinct()
    return sorted(connection.execute(query).scalars())


def standing(connection: Connection) -> Sequence[Row[Any]]:
    """Runs without an end."""
    return connection.execute(select(runs).where(runs.c.ended_at.is_(None)).order_by(runs.c.started_at)).all()


def refused(connection: Connection) -> list[Row[Any]]:
    """Of each open incident the last run, if a gate refused it; previews do not count."""
    of_open = select(runs).join(incidents, runs.c.incident == incidents.c.id).where(incidents.c.status == "open")
    rows = connection.execute(of_open.order_by(runs.c.started_at))
    last = {row.incident: row for row in rows if row.ending != "previewed"}
    return [row for row in last.values() if row.ended_at and (row.ending == "refused" or row.halted_because)]


def end(connection: Connection, now: float, id: str, ending: str, actor: str, summary: str, **data: Any) -> None:
    """Record how a run ended; only the first ending counts."""
    row = get(connection, id)
    done = connection.execute(
        update(runs).where(runs.c.id == id, runs.c.ended_at.is_(None)).values(ended_at=now, ending=ending)
    )
    if done.rowcount and row is not None:
        incident = None if ending == "previewed" else row.incident
        audit.append(connection, now, f"run.{ending}", actor, summary, incident=incident, run=id, **data)


def halt(connection: Connection, now: float, id: str, because: str) -> None:
    """Latch a run: every later guarded step of it is refused, whatever the playbook does with the first refusal."""
    connection.execute(
        update(runs).where(runs.c.id == id, runs.c.halted_because.is_(None)).values(halted_because=because[:500])
    )
