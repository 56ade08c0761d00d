"""The ledger: the chain, the clock, the race, the queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from support import ledgers, query_plans

from sre_responder.errors import InputError, LedgerUnavailable
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans, runs
from sre_responder.model.plan import Plan


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    made = ledgers.make(Ledger(ledger_url))
    with made.transaction() as connection:
        for number in range(5):
            audit.append(
                connection, float(number), "note.added", "dana", f"note {number}", incident="INC-1234", n=number
            )
    return made


TRIGGERS = {
    "sqlite": ("audit_no_update", "audit_no_delete", "chain_no_delete"),
    "postgresql": ("audit_append_only ON audit", "chain_one_by_one ON chain"),
}


def tampered(ledger: Ledger, statement: str) -> audit.Verdict:
    """As the owner of the database could: without the triggers."""
    with ledger.transaction() as connection:
        for trigger in TRIGGERS[connection.dialect.name]:
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text(statement.replace(":", "\\:")))
    return audit.verify(ledger)


def test_a_whole_chain_verifies(ledger: Ledger) -> None:
    assert audit.verify(ledger) == audit.Verdict(True, 5)


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit SET summary = 'note X' WHERE id = 3", 3),
        ("UPDATE audit SET at = replace(at, '1970', '1971') WHERE id = 1", 1),
        ("UPDATE audit SET data = '{\"n\":9}' WHERE id = 5", 5),
        ("DELETE FROM audit WHERE id = 2", 2),
        ("DELETE FROM audit WHERE id = 5", 5),
        ("DELETE FROM audit", 1),
        ("INSERT INTO audit SELECT 6, at, incident, type, actor, summary, data, hash, hash FROM audit WHERE id = 5", 6),
        ("UPDATE audit SET id = CASE id WHEN 2 THEN 99 ELSE id END", 2),
        ("DELETE FROM chain", 6),
    ],
)
def test_every_tampering_is_found_at_its_first_broken_link(ledger: Ledger, statement: str, broken_at: int) -> None:
    verdict = tampered(ledger, statement)
    assert (verdict.ok, verdict.broken_at) == (False, broken_at)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET summary = ''",
        "DELETE FROM audit",
        "UPDATE chain SET id = 0",
        "UPDATE chain SET hash = 'x'",
        "DELETE FROM chain",
    ],
)
def test_the_record_can_only_grow(ledger: Ledger, statement: str) -> None:
    with pytest.raises(LedgerUnavailable, match=r"append-only|moves on by one"), ledger.transaction() as connection:
        connection.execute(text(statement))
    assert audit.verify(ledger).ok


def test_a_clock_set_back_does_not_set_the_ledger_back(tmp_path: Path) -> None:
    now = [1000.0]
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=lambda: now[0], boot=lambda: ("boot", now[0]))
    ledger.upgrade()
    with ledger.transaction() as connection:
        audit.append(connection, ledger.now(connection), "note.added", "x", "y")
    now[0] = 10.0
    with ledger.transaction() as connection:
        assert 1000.0 < ledger.now(connection) < 1000.1


def test_a_missing_ledger_is_never_made_silently(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(LedgerUnavailable, match="does not exist"), ledger.transaction():
        raise AssertionError("opened")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite+nosuch:///x"])
def test_a_url_that_is_no_ledger_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match="RESPONDER_LEDGER"):
        Ledger(url)


def test_texts_are_cut_and_escaped_in_the_record(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        audit.append(connection, 9.0, "note.added", "x", "\x1b[31m" + "a" * 5000)
    with ledger.transaction(reading=True) as connection:
        [entry] = list(audit.entries(connection, after=5))
    assert entry.summary.startswith("\\x1b[31m") and "cut at 2000" in entry.summary


PLAN = Plan(
    incident="INC-1234", runbook="r", runbook_digest="d", action="a", arguments={}, service="s", environment="dev", target="t", before={}, after={}
)  # fmt: skip


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_no_query_of_a_decision_scans_what_grows_with_history(ledger: Ledger) -> None:
    def nobody(*_: object) -> None:
        raise InputError("no signature is looked at here")

    with query_plans.scans(ledger) as found, ledger.transaction() as connection:
        ledger.now(connection)
        incidents.fact(connection, "INC-1234")
        incidents.recovered_at(connection, "s")
        attempts.of_symptom(connection, "s", 0)
        attempts.of_incident(connection, "INC-1234")
        attempts.rollbacks(connection, "production")
        attempts.proven(connection, "d", "f", 0.0)
        attempts.failing(connection, "staging", 0.0)
        plans.approved_alike(connection, PLAN, 0.0)
        attempts.of_task(connection, "r", "t")
        attempts.effects_of(connection, 1)
        attempts.frozen(connection, "t")
        attempts.holder(connection, "t")
        attempts.contained(connection)
        attempts.reap(connection, 1.0)
        plans.approvals_of(connection, "d" * 64, nobody)  # type: ignore[arg-type]
        plans.signed(connection, "attest", "d", nobody)  # type: ignore[arg-type]
        plans.waiting(connection)
        runs.get(connection, "r")
        runs.standing(connection)
        audit.append(connection, 1.0, "note.added", "x", "y")
    assert found == []


def test_a_service_was_last_healthy_when_the_latest_of_its_own_symptoms_was(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert incidents.healthy_at(connection, "staging", "web") == 0
        for at, symptom in (
            (100, "staging:web:errors"),
            (300, "staging:web:crash"),
            (500, "staging:web-2:errors"),
            (700, "production:web:errors"),
        ):
            incidents.observe(connection, at, symptom, True, 60)
            incidents.observe(connection, at + 60, symptom, True, 60)
        incidents.observe(connection, 900, "staging:web:crash", False, 60)
        assert incidents.healthy_at(connection, "staging", "web") == 360


def test_counts_start_anew_only_after_a_measured_healthy_period(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        incidents.observe(connection, 100, "s", True, 60)
        incidents.observe(connection, 300, "s", True, 60)  # nobody looked between: not one period
        assert incidents.recovered_at(connection, "s") == 0
        incidents.observe(connection, 350, "s", True, 60)
        incidents.observe(connection, 355, "s", False, 60)
        incidents.observe(connection, 400, "s", True, 60)
        assert incidents.recovered_at(connection, "s") == 0
        incidents.observe(connection, 455, "s", True, 60)
        incidents.observe(connection, 461, "s", True, 60)
        assert incidents.recovered_at(connection, "s") == 461


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////x.db?mode=ro", "has the options mode"),
    ],
)
def test_an_address_of_sqlite_that_is_more_or_less_than_a_file_is_bad_input(url: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        Ledger(url)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}")
    with pytest.raises(LedgerUnavailable, match=r"is not a file\. Name a file"), ledger.transaction():
        pytest.fail("there is no ledger")
    with pytest.raises(InputError, match=r"is not a file\. Name a file"):
        ledger.upgrade()


@pytest.mark.parametrize("content", [b"", b"x" * 8192])
def test_what_is_no_ledger_says_how_to_get_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.db").write_bytes(content)
    with (
        pytest.raises(LedgerUnavailable, match="Restore it from a copy"),
        Ledger(f"sqlite:///{tmp_path}/ledger.db").transaction(reading=True),
    ):
        pytest.fail("there is no ledger")
