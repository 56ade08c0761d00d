"""From SQLite to PostgreSQL and back: nothing is lost, the chain is whole, the old ledger is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from support import ledgers

from sre_responder.emergency import stop
from sre_responder.errors import InputError, Refused
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.ledger.schema import leases, metadata
from sre_responder.record import copying


@pytest.fixture
def full(ledger_url: str) -> Ledger:
    ledger = ledgers.make(Ledger(ledger_url))
    with ledger.transaction() as connection:
        for number in range(3):
            incidents.open_(
                connection, 1.0 + number, service="checkout", environment="dev", severity="SEV3", title="ü", actor="x"
            )  # fmt: skip
        stop.raise_(connection, 5.0, "iris", "hold", service="other")
    return ledger


@pytest.fixture
def other(request: pytest.FixtureRequest, full: Ledger, tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'new.db'}" if not full.sqlite else request.getfixturevalue("database"))


def counts(ledger: Ledger) -> dict[str, int]:
    with ledger.transaction(reading=True) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def test_every_row_is_there_and_the_chain_is_whole(full: Ledger, other: Ledger) -> None:
    before = counts(full)
    assert copying.copy(full, other, "dana").ok
    assert counts(other) == before
    assert audit.verify(other).entries == 4


def test_the_new_ledger_goes_on_where_the_old_one_stood(full: Ledger, other: Ledger) -> None:
    copying.copy(full, other, "dana")
    with other.transaction() as connection:
        assert stop.raise_(connection, 9.0, "iris", "more") == "STOP-2"
    assert audit.verify(other).entries == 5


def test_whoever_still_uses_the_old_ledger_is_stopped(full: Ledger, other: Ledger, tmp_path: Path) -> None:
    copying.copy(full, other, "dana")
    with full.transaction() as connection:
        [standing] = stop.standing(
            connection, 9.0, tmp_path / "EMERGENCY_STOP", environment="dev", service="checkout", record=False
        )
    assert "moved to" in standing.reason


def test_a_ledger_that_is_not_empty_is_left_alone(full: Ledger, other: Ledger) -> None:
    other.upgrade()
    with other.transaction() as connection:
        audit.append(connection, 1.0, "note.added", "x", "y")
    with pytest.raises(InputError, match="not empty"):
        copying.copy(full, other, "dana")
    assert counts(other)["audit"] == 1


def test_a_ledger_with_a_held_target_is_not_moved(full: Ledger, other: Ledger) -> None:
    with full.transaction() as connection:
        connection.execute(
            leases.insert().values(
                target="t", attempt=1, service="s", run="r", token=1, holder="{}", taken_at=0, expires_at=0
            )
        )
    with pytest.raises(Refused, match="held"):
        copying.copy(full, other, "dana")
