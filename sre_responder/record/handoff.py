"""The hand-off: what was tried, what changed, what is locked or contained, what still runs, and the next safest command."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from sre_responder.home import Home
from sre_responder.ledger import attempts, plans, runs


def handoff(connection: Connection, home: Home, incident: str) -> dict[str, Any]:
    """Everything that the person who takes over needs, from the record."""
    tried = attempts.of_incident(connection, incident)
    rows = {attempt.id: attempts.effects_of(connection, attempt.id) for attempt in tried}
    effects = [row for found in rows.values() for row in found]
    frozen = [row.target for row in effects if row.state == "unknown"]
    waiting = [row.digest[:12] for row in plans.waiting(connection) if row.incident == incident]
    changed = [row for row in effects if row.state in ("done", "unknown") and row.undone_at is None]
    still = [row for row in runs.standing(connection) if row.incident == incident]
    return {
        "tried": [f"{a.action} (rung {a.rung}): {a.outcome or 'not finished'}" for a in tried],
        "changed": [{"target": row.target, "now": json.loads(row.observed or "null")} for row in changed],
        "frozen": frozen,
        "held": [row.target for row in attempts.held(connection) if row.attempt in rows],
        "contained": [row.target for row in attempts.contained(connection) if row.attempt in rows],
        "running": [f"run {row.id} on {row.machine} (pid {row.pid})" for row in still],
        "next": _next(incident, frozen, waiting),
        "undo": [
            f"responder undo {row.attempt}  # or: ansible-playbook {home.state / 'undo' / (row.plan + '.yml')}"
            for row in changed
            if plans.undoable(connection, row.plan)
        ],
    }


def _next(incident: str, frozen: list[str], waiting: list[str]) -> str:
    """The next safest command: settle what is unknown, then decide what waits, else look."""
    if frozen:
        return f"responder settle {frozen[0]}"
    if waiting:
        return f"responder approve {waiting[0]}"
    return f"responder timeline {incident}"


def lines(found: dict[str, Any]) -> list[str]:
    """A hand-off as text, one fact a line."""
    rows = []
    for name, value in found.items():
        items = value if isinstance(value, list) else [value]
        rows += [f"{name}: {item if isinstance(item, str) else json.dumps(item)}" for item in items] or [
            f"{name}: nothing"
        ]
    return rows
