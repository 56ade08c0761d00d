"""Empty ledgers to measure on, on each database that is installed here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.postgresql import programs, server

NewLedger = Callable[[str], str]
"""The URL of a new database of that name."""


@contextmanager
def databases(folder: Path) -> Iterator[Mapping[str, NewLedger]]:
    """How a ledger is made on each database; PostgreSQL runs only within."""

    def sqlite(name: str) -> str:
        return f"sqlite:///{folder / name / 'ledger.db'}"

    if programs() is None:
        print("PostgreSQL is not installed (Debian package postgresql): SQLite alone is measured.", file=sys.stderr)
        yield {"SQLite": sqlite}
        return
    with server() as here:

        def postgresql(name: str) -> str:
            here.sql(f"CREATE DATABASE {name}")
            return here.url(name)

        yield {"SQLite": sqlite, "PostgreSQL": postgresql}
