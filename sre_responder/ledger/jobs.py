"""The queue of runs that alerts ask for: one at a time a target, the most severe first, each claimed by exactly one process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from sre_responder.errors import InputError
from sre_responder.ledger import audit, clock
from sre_responder.ledger.runs import MACHINE, alive
from sre_responder.ledger.schema import approvals, incidents, jobs, plans
from sre_responder.system import process

TRIES = 3
"""A job whose process died or was interrupted is tried so often; then a person is called."""
SEEN_SECONDS = 10
"""How often the process of a job says that it lives."""
WAIT_SECONDS = 300
"""A job that could start, and that no machine takes for so long, calls a person."""
_SILENT_SECONDS = 180
"""A process that cannot be seen from here, and that has said nothing for this long, is given up and a person is called."""


Mine = Callable[[Row[Any]], bool]


class Wanted(NamedTuple):
    """The run that an incident asks for; `confirmed` is the word that production wants."""

    incident: str
    runbook: str
    service: str
    environment: str
    severity: str
    confirmed: bool


def put(connection: Connection, now: float, wanted: Wanted) -> int:
    """Queue a run for an incident."""
    values = {**wanted._asdict(), "queued_at": now, "tries": 0}
    row = connection.execute(insert(jobs).values(values).returning(jobs.c.id)).one()
    return int(row.id)


def last(connection: Connection, incident: str) -> Row[Any] | None:
    """The job of an incident that was queued last."""
    query = select(jobs).where(jobs.c.incident == incident).order_by(jobs.c.id.desc()).limit(1)
    return connection.execute(query).one_or_none()


def get(connection: Connection, id: int) -> Row[Any] | None:
    return connection.execute(select(jobs).where(jobs.c.id == id)).one_or_none()


def open_now(connection: Connection) -> list[Row[Any]]:
    """The jobs that wait or run, the most severe first, then the oldest."""
    query = select(jobs).where(jobs.c.ended_at.is_(None)).order_by(jobs.c.severity, jobs.c.queued_at, jobs.c.id)
    return list(connection.execute(query))


def ready(connection: Connection, limit: int, mine: Mine = lambda row: True) -> list[Row[Any]]:
    """Those that may start now on this machine: of each target that nothing runs on the first, and `limit` at once here.

    `mine` tells those that this machine takes.
    """
    found = open_now(connection)
    room = limit - sum(row.holder is not None and json.loads(row.holder)["machine"] == MACHINE for row in found)
    return [row for row in _first(found) if mine(row)][: max(0, room)]


def _first(found: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
    """Of each target that nothing runs on the job that comes first."""
    taken = {(row.service, row.environment) for row in found if row.holder}
    for row in found:
        if (row.service, row.environment) not in taken:
            taken.add((row.service, row.environment))
            yield row


def claim(
    connection: Connection, now: float, id: int, limit: int, label: Callable[[Row[Any]], str] = lambda row: ""
) -> Row[Any] | None:
    """Take a job for this process; None if it may not start now. Of several that try, one has it.

    Jobs with another `label` wait for other machines, and do not go first here.
    """
    row = get(connection, id)
    if row is None:
        raise InputError(f"job {id} is not in the ledger.", cure="See: responder alerts")
    if id not in {one.id for one in ready(connection, limit, lambda other: label(other) == label(row))}:
        return None
    incident = connection.execute(select(incidents.c.status).where(incidents.c.id == row.incident)).scalar()
    if incident != "open":  # a person, or another run, was faster
        end(connection, now, id, "not_needed")
        return None
    pid = os.getpid()
    holder = {"machine": MACHINE, "pid": pid, "started": process.started(pid), "space": process.space()}
    values = {"holder": json.dumps(holder), "started_at": now, "seen_at": now, "tries": row.tries + 1}
    connection.execute(update(jobs).where(jobs.c.id == id).values(values))
    return get(connection, id)


def seen(connection: Connection, now: float, id: int) -> None:
    """Its process says that it lives."""
    connection.execute(update(jobs).where(jobs.c.id == id).values(seen_at=now))


def end(connection: Connection, now: float, id: int, ending: str) -> None:
    """Its run ended so; it leaves the queue."""
    connection.execute(
        update(jobs).where(jobs.c.id == id, jobs.c.ended_at.is_(None)).values(ended_at=now, ending=ending)
    )


def again(connection: Connection, now: float, row: Row[Any], why: str) -> None:
    """Put a job whose run did not come to its end back into the queue; after the last try a person is called."""
    if row.tries < TRIES:
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(holder=None, seen_at=None, queued_at=now))
        audit.append(
            connection, now, "job.requeued", "responder", f"{row.runbook} will run again for {row.incident}: {why}",
            incident=row.incident, job=row.id, tries=row.tries,
        )  # fmt: skip
    else:
        give_up(connection, now, row, f"{why}, {row.tries} times")


def give_up(connection: Connection, now: float, row: Row[Any], why: str) -> None:
    """End a job without a run that came to its end, and call a person."""
    end(connection, now, row.id, "given_up")
    audit.append(
        connection, now, "job.given_up", "responder",
        f"{row.runbook} is not run any more for {row.incident}: {why}. Look at {row.service} in {row.environment}; then:"
        f" responder run {row.runbook} --incident {row.incident}", incident=row.incident, notify="on_call", job=row.id,
    )  # fmt: skip


def dead(connection: Connection, now: float) -> list[tuple[Row[Any], bool]]:
    """The jobs whose process is gone: with proof, or only silent where it cannot be seen from here."""
    found = []
    for row in open_now(connection):
        if row.holder is None:
            continue
        lives = alive(**json.loads(row.holder))
        if lives is False or (lives is None and (row.seen_at or 0) < now - _SILENT_SECONDS):
            found.append((row, lives is False))
    return found


def overdue(connection: Connection, now: float) -> list[Row[Any]]:
    """The jobs that could start and that no machine takes, for as long that a person should know; each until they were told."""
    since = clock.began(connection, now, WAIT_SECONDS)
    late = [row for row in _first(open_now(connection)) if row.queued_at < since]
    told = {
        (entry.data["job"], entry.data["queued_at"])
        for incident in {row.incident for row in late}
        for entry in audit.entries(connection, incident=incident, type="job.waits")
    }
    return [row for row in late if (row.id, row.queued_at) not in told]


def page_overdue(connection: Connection, now: float, label: Callable[[Row[Any]], str]) -> None:
    """Page once for each job that no machine takes; `label` tells which workers might."""
    for row in overdue(connection, now):
        of = f" --label {name}" if (name := label(row)) else ""
        audit.append(
            connection, now, "job.waits", "responder",
            f"{row.runbook} waits for {row.incident} since {WAIT_SECONDS // 60} min, and no machine takes it. Is one busy, or down? One"
            f" more is started by: responder worker{of}", incident=row.incident, notify="on_call", job=row.id, queued_at=row.queued_at,
        )  # fmt: skip


def approved(connection: Connection, now: float) -> list[Row[Any]]:
    """Of each open incident the last job, if a gate refused it and people have approved a plan since."""
    granted = (
        select(approvals.c.id)
        .join(plans, plans.c.digest == approvals.c.plan)
        .where(
            plans.c.incident == jobs.c.incident, approvals.c.decision == "grant", approvals.c.used_by.is_(None),
            approvals.c.expires_at > now, approvals.c.signed_at > jobs.c.ended_at,
        )
    )  # fmt: skip
    is_open = select(incidents.c.id).where(incidents.c.id == jobs.c.incident, incidents.c.status == "open")
    later = jobs.alias()
    last_of_it = ~select(later.c.id).where(later.c.incident == jobs.c.incident, later.c.id > jobs.c.id).exists()
    refused = select(jobs).where(jobs.c.ending == "refused", granted.exists(), is_open.exists(), last_of_it)
    return list(connection.execute(refused))


def resume(connection: Connection, now: float) -> None:
    """Queue again what was approved: its run resumes where it left off."""
    for row in approved(connection, now):
        values = {"holder": None, "seen_at": None, "ended_at": None, "ending": None, "tries": 0, "queued_at": now}
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
        audit.append(
            connection, now, "job.requeued", "responder", f"{row.runbook} resumes for {row.incident}: a plan of it was approved",
            incident=row.incident, job=row.id,
        )  # fmt: skip


def settle(connection: Connection, now: float) -> None:
    """Queue again what died with proof; what only fell silent is given up, for it may still be at work."""
    for row, proven in dead(connection, now):
        holder = json.loads(row.holder)
        if proven:
            again(connection, now, row, f"process {holder['pid']} on {holder['machine']} died")
        else:
            give_up(connection, now, row, f"process {holder['pid']} on {holder['machine']} has not been heard of")


def raise_severity(connection: Connection, incident: str, severity: str) -> None:
    """Let the waiting job of an incident go first, where what joined is more severe."""
    waits = (jobs.c.incident == incident) & jobs.c.ended_at.is_(None) & jobs.c.holder.is_(None)
    connection.execute(update(jobs).where(waits, jobs.c.severity > severity).values(severity=severity))
