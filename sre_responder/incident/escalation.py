"""Escalation: who has an incident in hand, as a state machine over its record, each transition with its cause (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Connection

from sre_responder.emergency import cascade
from sre_responder.home import Home
from sre_responder.incident.outage import outage
from sre_responder.ledger import audit, incidents
from sre_responder.ledger.audit import Entry

Level = Literal["diagnose", "automatic", "on_call", "commander", "stopped"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Diagnose and find the scope; automation has it, one service; a person on call; an incident commander; stopped and handed over."""
ESCALATED, ACKNOWLEDGED = "incident.escalated", "incident.acknowledged"
SEVERAL, MANY = 2, 3
"""From so many services on a person on call, or an incident commander, has it."""
AUDIENCES: dict[Level, str] = {"on_call": "on_call", "commander": "incident_commander", "stopped": "on_call"}
"""Who is paged at a level."""


@dataclass(frozen=True)
class Transition:
    """One step up, and why; `entry` is the entry of the record that caused it."""

    level: Level
    cause: str
    entry: int


def transitions(
    level: Level | None, entries: Iterable[Entry], services: Sequence[str], *, cascaded: bool
) -> Iterator[Transition]:
    """The steps up from a level that these entries cause, with the services that fail or were acted on around the incident.

    A level only rises: what was handed to people stays with them until the incident is closed.
    """
    for entry in entries:
        for wanted, caused in RULES:
            if _rank(wanted) > _rank(level) and (cause := caused(entry, services, cascaded)):
                level = wanted
                yield Transition(wanted, cause, entry.id)
                break


def _rank(level: Level | None) -> int:
    return -1 if level is None else LEVELS.index(level)


def _several(services: Sequence[str], least: int) -> str:
    return f"{len(services)} services: {', '.join(services)}" if len(services) >= least else ""


def _person(entry: Entry, services: Sequence[str]) -> str:
    """Automation ended without healing, or a person must decide, or several services fail."""
    refused = entry.type == "gate.blocked" and not entry.data.get("stopped")
    unknown = entry.type == "action.ended" and entry.data.get("outcome") == "unknown"
    if refused or unknown or entry.type == "handoff.made":
        return entry.summary
    return _several(services, SEVERAL)


Rule = Callable[[Entry, Sequence[str], bool], str]
RULES: tuple[tuple[Level, Rule], ...] = (
    ("stopped", lambda entry, services, cascaded: "a cascade raised the emergency stop" if cascaded else ""),
    ("commander", lambda entry, services, cascaded: _several(services, MANY)),
    ("on_call", lambda entry, services, cascaded: _person(entry, services)),
    ("automatic", lambda entry, services, cascaded: entry.summary if entry.type == "action.started" else ""),
    ("diagnose", lambda entry, services, cascaded: entry.summary),
)
"""Each level and its cause, empty if there is none; the highest first."""


def catch_up(connection: Connection, now: float, home: Home, incident: str) -> Level | None:
    """Put on the record what it has caused by now, and page whom that concerns. Return the level of an open incident."""
    row = incidents.get(connection, incident)
    if row is None or row.status != "open":
        return None
    made = current(connection, incident)
    level, since = (made.level, made.entry - 1) if made else (None, 0)
    entries = [one for one in audit.entries(connection, incident=incident, after=since) if one.type != ESCALATED]
    services = outage(connection, home.graph, incident, row.service, row.environment).services
    for one in transitions(level, entries, services, cascaded=cascade.standing(connection, row.environment)):
        audit.append(
            connection, now, ESCALATED, "responder", f"{incident} is now at level {one.level}: {one.cause}", incident=incident,
            notify=AUDIENCES.get(one.level), level=one.level, before=level, cause=one.cause, entry=one.entry,
        )  # fmt: skip
        level = one.level
    return level


def current(connection: Connection, incident: str) -> Transition | None:
    """The last transition of an incident on the record."""
    made = list(audit.entries(connection, incident=incident, type=ESCALATED))
    return Transition(made[-1].data["level"], made[-1].data["cause"], made[-1].data["entry"]) if made else None
