"""What SQLite does for each query of a block: whether it reads a whole table that grows with history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import event

from sre_responder.ledger import Ledger

GROWS = {
    "audit",
    "attempts",
    "effects",
    "plans",
    "approvals",
    "signatures",
    "incidents",
    "runs",
    "outbox",
    "alerts",
    "jobs",
}


@contextmanager
def scans(ledger: Ledger) -> Iterator[list[tuple[str, str]]]:
    """Filled when the block is over: each step of a plan that uses no index where it needs one, and its statement."""
    seen: list[tuple[str, Any]] = []
    found: list[tuple[str, str]] = []

    def keep(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", keep)
    yield found
    event.remove(ledger.engine, "before_cursor_execute", keep)
    with closing(sqlite3.connect(str(ledger.path))) as raw:
        for statement, parameters in seen:
            if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
                for row in raw.execute("EXPLAIN QUERY PLAN " + statement, parameters):
                    words = str(row[3]).split()
                    if words[0] == "SCAN" and words[1] in GROWS and "USING" not in words:
                        found.append((row[3], statement))
