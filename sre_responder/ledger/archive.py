"""Retention: the oldest part of the record moves to a file, and the chain stays provable from there on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, or_, select, text

from sre_responder.errors import InputError
from sre_responder.ledger import audit, tally
from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import archives, incidents
from sre_responder.ledger.schema import audit as record

_TRIGGER = {
    "sqlite": (
        "DROP TRIGGER audit_no_delete",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    ),
    "postgresql": (
        "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
        "ALTER TABLE audit ENABLE TRIGGER audit_append_only",
    ),
}
"""The owner alone can lift the trigger, inside the one transaction that moves the entries."""


def move(ledger: Ledger, before: float, file: Path, who: str) -> int:
    """Move the entries before a time, and of closed incidents only, into a new file of JSON lines; gives how many.

    The file is on disk before an entry goes, its checksum is on the record, and `verify` goes on from the last entry moved.
    """
    if file.exists():
        raise InputError(f"{file} exists.", cure="Name a new file; archives are kept.")
    with ledger.transaction() as connection:
        opened = select(incidents.c.id).where(incidents.c.status == "open")
        stays = select(func.min(record.c.id)).where(
            or_(record.c.at >= audit.iso(before), record.c.incident.in_(opened))
        )
        first = connection.execute(stays).scalar()
        last = audit.last(connection) if first is None else first - 1
        moved = [entry for entry in audit.entries(connection, until=last)]
        if not moved:
            return 0
        checksum = _write(file, moved)
        try:
            _forget(
                connection,
                ledger.now(connection),
                moved[-1],
                checksum,
                who,
                f"{len(moved)} entries moved to {file.name}",
            )
        except BaseException:
            file.unlink()  # nothing was moved, and the file would stand in the way of the next try
            raise
    return len(moved)


def _forget(connection: Connection, now: float, last: audit.Entry, checksum: str, who: str, summary: str) -> None:
    """Take all entries up to the last that was moved out of the record, and say so there."""
    lift, restore = _TRIGGER[connection.dialect.name]
    counted = tally.total(connection)
    connection.execute(text(lift))
    connection.execute(delete(record).where(record.c.id <= last.id))
    connection.execute(text(restore))
    connection.execute(insert(archives).values(last_id=last.id, last_hash=last.hash, checksum=checksum, at=now))
    audit.append(
        connection, now, audit.ARCHIVED, who, summary, last_id=last.id, last_hash=last.hash, checksum=checksum,
        tally=counted - tally.here(connection),
    )  # fmt: skip


def _write(file: Path, entries: list[audit.Entry]) -> str:
    lines = "".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in entries).encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as stream:
            stream.write(lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(lines).hexdigest()
