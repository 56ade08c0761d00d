"""The queue of runs that alerts ask for: one at a time a target, the most severe first, each claimed by exactly one process."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from sre_responder.errors import InputError
from sre_responder.ledger import audit
from sre_responder.ledger.runs import MACHINE, alive
from sre_responder.ledger.schema import approvals, incidents, jobs, plans
from sre_responder.system import process

TRIES = 3
"""A job whose process died or was interrupted is tried so often; then a person is called."""
SEEN_SECONDS = 10
"""How often the process of a job says that it lives."""
_SILENT_SECONDS = 180
"""A process that cannot be seen from here, and that has said nothing for this long, is given up and a person is called."""


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


def ready(connection: Connection, limit: int) -> list[Row[Any]]:
    """Those that may start now: of each target that nothing runs on the first, and no more than `limit` run in all."""
    found = open_now(connection)
    taken = {(row.service, row.environment) for row in found if row.holder}
    room = limit - sum(row.holder is not None for row in found)
    chosen: list[Row[Any]] = []
    for row in found:
        if (row.service, row.environment) not in taken and len(chosen) < room:
            taken.add((row.service, row.environment))
            chosen.append(row)
    return chosen


def claim(connection: Connection, now: float, id: int, limit: int) -> Row[Any] | None:
    """Take a job for this process; None if it may not start now. Of several that try, one has it."""
    row = get(connection, id)
    if row is None:
        raise InputError(f"job {id} is not in the ledger.", cure="See: responder alerts")
    if id not in {one.id for one in ready(connection, limit)}:
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
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(holder=None, seen_at=None))
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
        values = {"holder": None, "seen_at": None, "ended_at": None, "ending": None, "tries": 0}
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
