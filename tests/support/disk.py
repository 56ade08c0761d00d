"""Tests that tell of no crash do not wait for the disk."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, Engine, event


def wait_for_no_disk() -> None:
    """From now on nothing that this process and its forks write is synced: what they wrote survives them, and not the machine."""
    event.listen(Engine, "engine_connect", _unsynced)
    os.fsync = lambda descriptor: None


def ledgers_wait_for_no_disk() -> None:
    """The same of ledgers on SQLite alone."""
    if not event.contains(Engine, "engine_connect", _unsynced):
        event.listen(Engine, "engine_connect", _unsynced)


def _unsynced(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA synchronous=OFF")
