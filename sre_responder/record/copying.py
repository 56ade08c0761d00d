"""Moving to another database: every row of one ledger into an empty one, proven by the chain, and the old one stopped."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, text, update

from sre_responder.emergency import stop
from sre_responder.errors import InputError, Refused
from sre_responder.ledger import audit
from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import audit as record
from sre_responder.ledger.schema import chain, leases, metadata

_ROWS = 1000


def copy(source: Ledger, target: Ledger, who: str) -> audit.Verdict:
    """Copy everything; gives the verdict about the new chain.

    The old ledger is left whole under a stop of its own, so that whoever still uses it is refused. Refused while a target
    is held, InputError where the new ledger is not empty.
    """
    before = audit.verify(source)
    if not before.ok:
        raise Refused(f"the record is broken at entry {before.broken_at}: {before.reason}.", cure="Restore it first.")
    target.upgrade()
    with source.transaction() as old, target.transaction() as new:
        if old.execute(select(func.count()).select_from(leases)).scalar_one():
            raise Refused("targets are held.", cure="Wait for the runs to end; see `responder status`.")
        if new.execute(select(chain.c.id)).scalar_one():
            raise InputError(f"{target.name} is not empty.", cure="Name a new database.")
        for table in metadata.sorted_tables:
            if table is not chain:
                for rows in old.execute(select(table)).mappings().partitions(_ROWS):
                    new.execute(insert(table), [dict(row) for row in rows])
        _move_head(old, new)
        if not target.sqlite:
            _move_sequences(new)
        stop.raise_(old, source.now(old), who, f"this ledger has moved to {target.name}")
    verdict = audit.verify(target)
    if verdict != before:
        raise Refused(
            f"the copy does not verify: {verdict.reason}.", cure="Use the old ledger; its stop may be lifted."
        )
    return verdict


def _move_head(old: Connection, new: Connection) -> None:
    """The head moves on one by one, here too: nothing but a trigger removed could make it jump."""
    heads = old.execute(select(record.c.id, record.c.hash).order_by(record.c.id))
    last = old.execute(select(chain.c.at)).scalar_one()
    for row in heads:
        new.execute(update(chain).values(id=row.id, hash=row.hash, at=last))


def _move_sequences(new: Connection) -> None:
    for table in metadata.sorted_tables:
        [key] = table.primary_key.columns if len(table.primary_key.columns) == 1 else [None]
        sequence = (
            key is not None
            and new.execute(
                text("SELECT pg_get_serial_sequence(:table, :key)"), {"table": table.name, "key": key.name}
            ).scalar()
        )
        if sequence and key is not None:
            new.execute(
                select(func.setval(sequence, func.coalesce(select(func.max(key)).scalar_subquery(), 0) + 1, False))
            )
