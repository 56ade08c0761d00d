"""PostgreSQL gone, slow, full or behind at each step of a mutation: never unrecorded, never a hang, a clear sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.light import Light, home_with, take
from support.postgresql import Server, programs, server

from sre_responder.engine.step import confirm
from sre_responder.errors import LedgerUnavailable, OutcomeUnknown, Refused
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, connection

pytestmark = pytest.mark.contract

LIMIT_SECONDS = 1


@pytest.fixture
def database() -> Iterator[Server]:
    """A server of the test's own, for it is stopped and started."""
    if programs() is None:
        pytest.fail("initdb is not installed (Debian package postgresql)")
    with server() as here:
        yield here


@pytest.fixture
def home(database: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(connection, "BUSY_SECONDS", LIMIT_SECONDS)
    return home_with(tmp_path, database.url("postgres"))


def types(home: Home) -> list[str]:
    """What is on the record, in order; who has the incident in hand is said beside it."""
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as transaction:
        return [entry.type for entry in audit.entries(transaction) if entry.type != "incident.escalated"]


def after_decision(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    decide = confirm.decide

    def decide_and_then(*given: Any, **named: Any) -> Any:
        decision = decide(*given, **named)
        happens()
        return decision

    monkeypatch.setattr(confirm, "decide", decide_and_then)


def test_with_a_ledger_that_answers_the_light_goes_on_and_the_record_says_so(home: Home) -> None:
    light = Light()
    assert take(home, light)["changed"] and light.on
    assert types(home)[-3:] == ["action.started", "effect.done", "action.ended"]


def test_gone_before_the_decision_nothing_is_changed(home: Home, database: Server) -> None:
    light = Light()
    database.control("stop", "-m", "immediate")
    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        take(home, light)
    assert not light.on


def test_gone_between_decision_and_effect_nothing_is_changed(
    home: Home, database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = Light()
    after_decision(monkeypatch, lambda: database.control("stop", "-m", "immediate"))
    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        take(home, light)
    assert not light.on
    database.control("start")
    assert types(home)[-1] == "action.started"


def test_gone_after_the_effect_its_outcome_is_unknown_and_its_target_frozen(home: Home, database: Server) -> None:
    light = Light(lambda: database.control("stop", "-m", "immediate"))
    with pytest.raises(OutcomeUnknown, match="could not be recorded"):
        take(home, light)
    assert light.on
    database.control("start")
    ledger = Ledger(home.ledger_url)
    with ledger.transaction() as transaction:
        assert attempts.holder(transaction, "light") is not None
        attempts.reap(transaction, ledger.now(transaction), lambda *_, **__: False)  # its process has ended meanwhile
        assert attempts.frozen(transaction, "light") == 1


FORGET = "ALTER TABLE audit DISABLE TRIGGER ALL; DELETE FROM effects; DELETE FROM leases; DELETE FROM attempts"


def test_a_replica_that_lost_the_decision_lets_nothing_be_changed(
    home: Home, database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = Light()
    after_decision(monkeypatch, lambda: database.sql(FORGET))
    with pytest.raises(Refused, match="taken over"):
        take(home, light)
    assert not light.on


def test_a_replica_that_lost_the_intent_after_the_effect_is_told_what_was_done(home: Home, database: Server) -> None:
    light = Light(lambda: database.sql(FORGET))
    with pytest.raises(OutcomeUnknown, match="not in the ledger any more"):
        take(home, light)
    assert types(home)[-1] == "effect.lost"


def test_whoever_blocks_the_ledger_makes_nobody_wait_without_an_end(home: Home) -> None:
    light, other = Light(), Ledger(home.ledger_url)
    began = time.monotonic()
    with other.transaction() as transaction:
        transaction.execute(text("SELECT 1"))
        with pytest.raises(LedgerUnavailable, match="timeout"):
            take(home, light)
    assert not light.on
    assert time.monotonic() - began < 10 * LIMIT_SECONDS


def test_a_server_that_takes_no_more_connections_is_told(home: Home, database: Server) -> None:
    light = Light()
    database.sql("CREATE ROLE full LOGIN CONNECTION LIMIT 0")
    crowded = Home(home.folder, database.url("postgres", "full"), home.state)
    with pytest.raises(LedgerUnavailable, match="too many connections"):
        take(crowded, light)
    assert not light.on


def test_the_databases_clock_decides_not_the_machines(home: Home) -> None:
    astray = Ledger(home.ledger_url, clock=lambda: time.time() + 600)
    with astray.transaction(reading=True) as transaction:
        assert abs(astray.now(transaction) - time.time()) < 60
