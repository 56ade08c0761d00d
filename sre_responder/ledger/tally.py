"""What the record adds up to: entries, refusals, waits for people. No count ever falls, not even when entries are archived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from sre_responder.ledger.audit import ARCHIVED
from sre_responder.ledger.schema import audit

_ANSWERS = ("approval.granted", "approval.denied", "approval.break_glass")
_WANTED = ("gate.blocked", *_ANSWERS)
"""Only these entries are read; of all others the index knows enough."""

Tally = Counter[str]
"""`entry TYPE`, `refusal GATE STATUS`, `waits` that people ended, and `waited_ms`, all of them together."""


def total(connection: Connection) -> Tally:
    """The tally of every entry that was ever made."""
    query = select(audit.c.data).where(audit.c.incident.is_(None), audit.c.type == ARCHIVED)
    archived = connection.execute(query.order_by(audit.c.id.desc()).limit(1)).scalar()
    return here(connection) + Counter(json.loads(archived or "{}").get("tally", {}))


def here(connection: Connection) -> Tally:
    """The tally of the entries that are not archived."""
    types = connection.execute(select(audit.c.type, func.count()).group_by(audit.c.type))
    entries = Counter({f"entry {type}": number for type, number in types})
    chosen = select(audit.c.id).where(audit.c.type.in_(_WANTED))  # over the index, which does not hold the data
    rows = connection.execute(
        select(audit.c.type, audit.c.at, audit.c.data).where(audit.c.id.in_(chosen)).order_by(audit.c.id)
    )
    return entries + _read((type, at, json.loads(data)) for type, at, data in rows)


def _read(entries: Iterable[tuple[str, str, dict[str, Any]]]) -> Tally:
    """Refusals by gate, and how long plans waited: from the first refusal that only people clear to the last answer it needed."""
    told: Tally = Counter()
    asked: dict[str, tuple[str, int]] = {}
    for type, at, data in entries:
        plan, gates = str(data.get("plan")), data.get("gates", [])
        if type == "gate.blocked":
            told.update(f"refusal {gate['name']} {gate['status']}" for gate in gates)
            if gates and all(gate.get("clears_by_approval") for gate in gates):
                asked.setdefault(plan, (at, _needed(gates)))
        elif plan in asked:
            since, needed = asked.pop(plan)
            if needed > 1 and type != "approval.denied":
                asked[plan] = since, needed - 1
                continue
            told["waits"] += 1
            waited = datetime.fromisoformat(at) - datetime.fromisoformat(since)
            told["waited_ms"] += round(waited.total_seconds() * 1000)
    return told


def _needed(gates: Iterable[dict[str, Any]]) -> int:
    return max(int(gate.get("evidence", {}).get("needed", 1)) for gate in gates)
