"""Whoever follows a run by its record: each new entry is told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from sre_responder.ledger import audit


class Follower:
    """New entries of an incident's record, each told once, when no transaction waits for who reads them."""

    def __init__(self, incident: str, after: int, on_entry: Callable[[audit.Entry], None]) -> None:
        self.incident, self.after, self.on_entry = incident, after, on_entry
        self.entries: list[audit.Entry] = []

    def fresh(self, connection: Connection) -> list[audit.Entry]:
        return list(audit.entries(connection, incident=self.incident, after=self.after))

    def tell(self, fresh: Sequence[audit.Entry]) -> None:
        for entry in fresh:
            self.after = entry.id
            self.entries.append(entry)
            self.on_entry(entry)
