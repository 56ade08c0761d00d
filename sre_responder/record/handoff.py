"""The handover: what was tried, what changed, what is locked or contained, what still runs, and the next safest command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from sre_responder.errors import ResponderError
from sre_responder.guard.gates.loop import allow, lockout
from sre_responder.home import Home
from sre_responder.home.catalogue import UNKNOWN
from sre_responder.home.runbook import Metadata
from sre_responder.incident import escalation
from sre_responder.ledger import attempts, audit, incidents, plans, runs
from sre_responder.model.facts import Attempt


@dataclass(frozen=True)
class Tried:
    """One attempt: what was done, on what, at which rung, and what came of it.

    `outcome` is improved, not_improved, unknown, unmeasured (interrupted and settled, but its effect was never measured), or None
    while it runs. `again` are the commands after which the runbook takes it once more.
    """

    attempt: int
    action: str
    targets: tuple[str, ...]
    rung: int
    outcome: str | None
    again: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changed:
    """A target that is not as it was, and how the last attempt left it; None where nobody saw that."""

    target: str
    attempt: int
    left: Any


@dataclass(frozen=True)
class Handover:
    """Everything that the person who takes over needs; `contacts` are whom to call, `rollback` what the runbooks say of a step back."""

    tried: tuple[Tried, ...]
    changed: tuple[Changed, ...]
    frozen: tuple[str, ...]
    held: tuple[str, ...]
    contained: tuple[str, ...]
    running: tuple[str, ...]
    next: str
    undo: tuple[str, ...]
    contacts: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    """What the last diagnosis found to be wrong, else why the actions behind it do not apply."""
    escalation: tuple[str, ...] = ()
    """Who has the incident in hand and why, and who acknowledged it."""

    @property
    def helped(self) -> bool:
        """Whether the last remediation improved the service; containment is none."""
        remediations = [one for one in self.tried if one.rung > 0]
        return bool(remediations) and remediations[-1].outcome == "improved"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def handoff(connection: Connection, home: Home, incident: str) -> Handover:
    """The handover of an incident, from the record alone."""
    mine = attempts.of_incident(connection, incident)
    tried = {attempt.id: attempt for attempt in (*_earlier(connection, incident), *mine)}
    rows = {attempt.id: attempts.effects_of(connection, attempt.id) for attempt in mine}
    effects = [row for found in rows.values() for row in found]
    frozen = tuple(row.target for row in effects if row.state == "unknown" and row.undone_at is None)
    waiting = [row.digest[:12] for row in plans.waiting(connection) if row.incident == incident]
    books = _books(connection, home, incident)
    changed = [row for row in effects if row.state in ("done", "unknown") and row.undone_at is None]
    latest = {row.target: row for row in changed}  # they are in order
    return Handover(
        tried=tuple(_tried(attempt) for attempt in sorted(tried.values(), key=lambda attempt: attempt.id)),
        changed=tuple(Changed(row.target, row.attempt, json.loads(row.observed or "null")) for row in latest.values()),
        frozen=frozen,
        held=tuple(row.target for row in attempts.held(connection) if row.attempt in rows),
        contained=tuple(row.target for row in attempts.contained(connection) if row.attempt in rows),
        running=tuple(
            f"run {row.id} on {row.machine} (pid {row.pid})"
            for row in runs.standing(connection)
            if row.incident == incident
        ),
        next=_next(incident, frozen, waiting),
        undo=tuple(
            f"responder undo {row.attempt}  # or: ansible-playbook {shlex.quote(str(home.state / 'undo' / f'{row.plan}.yml'))}"
            for row in reversed(changed)
            if plans.undoable(connection, row.plan)
        ),
        contacts=(*_owner(connection, home, incident), *(contact for book in books for contact in book.contacts)),
        rollback=tuple(book.rollback for book in books if book.rollback),
        found=found(list(audit.entries(connection, incident=incident))),
        escalation=_escalation(connection, incident),
    )


def found(entries: Sequence[audit.Entry]) -> tuple[str, ...]:
    """What the last diagnosis among these entries found to be wrong; where it found nothing, why the actions behind it do not apply."""
    looks = [number for number, one in enumerate(entries) if one.type == "scope.identified" and "findings" in one.data]
    if not looks:
        return ()
    refuted = [str(one.data["refuted"]) for one in entries[looks[-1] :] if one.data.get("refuted")]
    return tuple(dict.fromkeys(entries[looks[-1]].data["findings"] or refuted))


def _escalation(connection: Connection, incident: str) -> tuple[str, ...]:
    """The level and its cause, and each acknowledgement, as they are on the record."""
    level = escalation.current(connection, incident)
    seen = audit.entries(connection, incident=incident, type=escalation.ACKNOWLEDGED)
    return (*([f"{level.level}: {level.cause}"] if level else []), *(entry.summary for entry in seen))


def _owner(connection: Connection, home: Home, incident: str) -> tuple[str, ...]:
    """Whose the service is, as far as the catalogue can be read now."""
    row = incidents.get(connection, incident)
    try:
        service = home.catalogue.service(row.service) if row else None
    except ResponderError:
        return ()
    return (f"{service.owner}, the owner of {service.name}",) if service and service.owner != UNKNOWN else ()


def _books(connection: Connection, home: Home, incident: str) -> tuple[Metadata, ...]:
    """What the runbooks that were run for an incident say of themselves, as far as they can be read now."""
    found = []
    for name in runs.runbooks(connection, incident):
        with suppress(ResponderError):
            found.append(home.runbooks.named(name).metadata)
    return tuple(found)


def _earlier(connection: Connection, incident: str) -> tuple[Attempt, ...]:
    """Attempts under other numbers for which a step of this incident was skipped as tried."""
    skipped = audit.entries(connection, incident=incident, type="action.skipped")
    numbers = {int(entry.data["attempt"]) for entry in skipped if entry.data.get("attempt")}
    return attempts.numbered(connection, numbers)


def _tried(attempt: Attempt) -> Tried:
    """An attempt as it is handed over. What did not help is skipped from now on, unless a person allows another one."""
    again: tuple[str, ...] = ()
    if attempt.outcome == "not_improved" and attempt.rung > 0:
        again = tuple(allow(lockout(attempt.symptom, attempt.action, target)) for target in attempt.targets)
    elif attempt.outcome == "unknown":
        again = tuple(f"responder settle {shlex.quote(target)}" for target in attempt.targets)
    return Tried(attempt.id, attempt.action, attempt.targets, attempt.rung, attempt.outcome, again)


def _next(incident: str, frozen: tuple[str, ...], waiting: list[str]) -> str:
    """The next safest command: settle what is unknown, then decide what waits, else look."""
    if frozen:
        return f"responder settle {shlex.quote(frozen[0])}"
    if waiting:
        return f"responder approve {waiting[0]}"
    return f"responder timeline {incident}"
