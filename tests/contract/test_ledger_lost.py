"""PostgreSQL gone, slow, full or behind at each step of a mutation: never unrecorded, never a hang, a clear sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgresql import Server, programs, server
from sqlalchemy import text

from sre_responder import runbook, step
from sre_responder.effects import Change
from sre_responder.errors import LedgerUnavailable, OutcomeUnknown, Refused
from sre_responder.guard.snapshot import Request
from sre_responder.home import Home, find
from sre_responder.ledger import Ledger, attempts, audit, connection, incidents, runs
from sre_responder.step import Step, perform

pytestmark = pytest.mark.contract

PLAY = """\
- name: Purge
  hosts: localhost
  vars:
    runbook: {id: purge, failure_class: stale, success: {url: "http://127.0.0.1:1/"}}
  tasks:
    - {name: Look, sre.responder.diagnose: }
    - {name: Purge, sre.responder.http_cache_purge: }
"""
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
    folder = tmp_path / "home"
    (folder / "runbooks" / "purge").mkdir(parents=True)
    (tmp_path / "stop").mkdir()
    policy = {"profile": "homelab", "stop": {"file": str(tmp_path / "stop" / "EMERGENCY_STOP")}}
    (folder / "policy.yml").write_text(yaml.safe_dump(policy))
    service = {"kind": "Component", "metadata": {"name": "checkout"}, "spec": {}}
    (folder / "catalogue.yml").write_text(yaml.safe_dump(service))
    (folder / "runbooks" / "purge" / "runbook.yml").write_text(PLAY)
    runbook.register(folder, [folder / "runbooks" / "purge"])
    url = database.url("postgres")
    here = find({"HOME": str(tmp_path), "RESPONDER_HOME": str(folder), "RESPONDER_LEDGER": url})
    ledger = Ledger(url)
    ledger.upgrade()
    with ledger.transaction() as transaction:
        now = ledger.now(transaction)
        incidents.open_(
            transaction, now, id="INC-1234", service="checkout", environment="dev", severity="SEV4", title="x", actor="x"
        )  # fmt: skip
        runs.begin(transaction, now, "run", driven=False, requester="dana")
    return here


class Light:
    """The smallest effect there is: a light that is on or off. `act` first does what the test wants to happen then."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.on, self.meanwhile = False, meanwhile

    def plan(self) -> Change:
        return Change("light", {"on": self.on}, {"on": True})

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        self.on = True
        self.meanwhile()
        return {"on": True}


def take(home: Home, light: Light) -> dict[str, Any]:
    book = home.runbooks.named("purge")
    task = next(one for one in book.tasks if one.action)
    request = Request(
        action="http_cache_purge", incident="INC-1234", service="checkout", environment="dev", confirm_production=False,
        run="run", task="task", step=task.digest, host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    return perform(home, Ledger(home.ledger_url), Step(request, {}, book, check=False), light)


def types(home: Home) -> list[str]:
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as transaction:
        return [entry.type for entry in audit.entries(transaction)]


def after_decision(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    decide = step.decide

    def decide_and_then(*given: Any, **named: Any) -> Any:
        decision = decide(*given, **named)
        happens()
        return decision

    monkeypatch.setattr(step, "decide", decide_and_then)


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
        attempts.reap(transaction, ledger.now(transaction), lambda *_: False)  # its process has ended meanwhile
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
