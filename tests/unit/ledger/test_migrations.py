"""Every ledger that a user may have becomes today's, with what is in it."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Boolean, Column, Float, Integer, MetaData, Table, insert, select

from sre_responder.ledger import Ledger, schema
from sre_responder.ledger.connection import _MIGRATIONS, REVISION

REVISIONS = sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def test_migrations_are_numbered_one_by_one() -> None:
    numbers = [int(number) for number in REVISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert int(REVISION) == numbers[-1]


def some(column: Column[Any]) -> Any:
    """A value that such a column takes."""
    for kind, value in ((Boolean, True), (Integer, 7), (Float, 7.5)):
        if isinstance(column.type, kind):
            return value
    return "x"


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_ledger_of_any_revision_upgrades_with_what_is_in_it(ledger_url: str, revision: str) -> None:
    ledger = Ledger(ledger_url)
    ledger.upgrade(revision)
    old = MetaData()
    with ledger.engine.begin() as connection:
        old.reflect(connection)
        filled = [table for name, table in old.tables.items() if name not in ("alembic_version", "chain")]
        for table in filled:
            connection.execute(insert(table).values({column.name: some(column) for column in table.columns}))
        before = {table.name: _rows(connection, table) for table in filled}

    ledger.upgrade()

    now = MetaData()
    with ledger.engine.begin() as connection:
        now.reflect(connection)
        for name, rows in before.items():
            [kept] = _rows(connection, now.tables[name])
            assert {key: kept[key] for key in rows[0] if key in kept} == {
                key: value for key, value in rows[0].items() if key in kept
            }
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def _rows(connection: Any, table: Table) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(select(table))]
