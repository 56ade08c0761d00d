"""Retention and anchors: the record may shrink at its beginning, provably, and never change unseen."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text
from support import ledgers

from sre_responder.errors import InputError, LedgerUnavailable, Refused
from sre_responder.home import Home
from sre_responder.home.people import Person
from sre_responder.ledger import Ledger, archive, audit, incidents
from sre_responder.record import anchor

TRIGGERS = {
    "sqlite": ("DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete", "DROP TRIGGER chain_one_by_one"),
    "postgresql": ("DROP TRIGGER audit_append_only ON audit", "DROP TRIGGER chain_one_by_one ON chain"),
}


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    """Ten entries, one a day; INC-1 was closed on the sixth, INC-2 opened on the seventh stays open."""
    made = ledgers.make(Ledger(ledger_url))
    with made.transaction() as connection:
        _open(connection, 1, "INC-00001")
        for day in range(2, 6):
            audit.append(connection, day * 86400.0, "note.added", "dana", f"day {day}", incident="INC-00001")
        incidents.close(connection, 6 * 86400.0, "INC-00001", "dana")
        _open(connection, 7, "INC-00002")
        for day in range(8, 11):
            audit.append(connection, day * 86400.0, "note.added", "dana", f"day {day}")
    return made


def _open(connection: Any, day: int, id: str) -> None:
    incidents.open_(
        connection, day * 86400.0, id=id, service="checkout", environment="dev", severity="SEV3", title="x", actor="x"
    )  # fmt: skip


def as_owner(ledger: Ledger, *statements: str) -> None:
    with ledger.transaction() as connection:
        for statement in (*TRIGGERS[connection.dialect.name], *statements):
            connection.execute(text(statement))


def test_what_is_archived_leaves_a_chain_that_verifies_and_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    assert archive.move(ledger, 4 * 86400.0, tmp_path / "old.jsonl", "dana") == 3
    assert [json.loads(line)["id"] for line in (tmp_path / "old.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert audit.verify(ledger) == audit.Verdict(True, 11)
    with ledger.transaction() as connection:
        audit.append(connection, 99 * 86400.0, "note.added", "dana", "later")
    assert audit.verify(ledger) == audit.Verdict(True, 12)


def test_entries_of_an_open_incident_stay_and_all_behind_them(ledger: Ledger, tmp_path: Path) -> None:
    assert archive.move(ledger, 99 * 86400.0, tmp_path / "old.jsonl", "dana") == 6
    assert archive.move(ledger, 99 * 86400.0, tmp_path / "older.jsonl", "dana") == 0


def test_a_second_archive_goes_on_behind_the_first(ledger: Ledger, tmp_path: Path) -> None:
    archive.move(ledger, 3 * 86400.0, tmp_path / "1.jsonl", "dana")
    assert archive.move(ledger, 5 * 86400.0, tmp_path / "2.jsonl", "dana") == 2
    assert audit.verify(ledger).ok


def test_an_archive_that_could_not_be_recorded_leaves_no_file_and_all_its_entries(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("the connection is lost")

    with monkeypatch.context() as broken:
        broken.setattr(archive, "_forget", lost)
        with pytest.raises(RuntimeError):
            archive.move(ledger, 4 * 86400.0, tmp_path / "old.jsonl", "dana")
    assert not (tmp_path / "old.jsonl").exists()
    assert archive.move(ledger, 4 * 86400.0, tmp_path / "old.jsonl", "dana") == 3


def test_an_archive_is_never_written_over(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("kept")
    with pytest.raises(InputError, match="exists"):
        archive.move(ledger, 4 * 86400.0, tmp_path / "old.jsonl", "dana")
    assert (tmp_path / "old.jsonl").read_text() == "kept"


def test_the_record_can_only_grow_after_an_archive_too(ledger: Ledger, tmp_path: Path) -> None:
    archive.move(ledger, 4 * 86400.0, tmp_path / "old.jsonl", "dana")
    with pytest.raises(LedgerUnavailable, match="append-only"), ledger.transaction() as connection:
        connection.execute(text("DELETE FROM audit"))


def test_a_beginning_that_was_removed_without_an_archive_is_found(ledger: Ledger) -> None:
    with ledger.transaction(reading=True) as connection:
        third = next(entry for entry in audit.entries(connection) if entry.id == 3)
    as_owner(
        ledger,
        "DELETE FROM audit WHERE id <= 3",
        f"INSERT INTO archives (last_id, last_hash, checksum, at) VALUES (3, '{third.hash}', 'x', 0)",
    )
    assert not audit.verify(ledger).ok


@pytest.fixture
def signers(tmp_path: Path) -> tuple[Home, Person, Path]:
    folder, key = tmp_path / "home", tmp_path / "iris"
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / "people.yml").write_text(yaml.safe_dump({"people": [{"name": "iris", "principal": "iris@x"}]}))
    (folder / "allowed_signers").write_text(f'iris@x namespaces="sre-responder" {key.with_suffix(".pub").read_text()}')
    home = Home(folder, "", tmp_path)
    return home, home.people.named("iris"), key


def anchored(ledger: Ledger, signers: tuple[Home, Person, Path], tmp_path: Path) -> Path:
    home, person, key = signers
    (tmp_path / "anchor.json").write_text(json.dumps(anchor.make(home, ledger, person, key)))
    return tmp_path / "anchor.json"


def test_an_anchor_holds_while_the_record_grows(ledger: Ledger, signers: Any, tmp_path: Path) -> None:
    file = anchored(ledger, signers, tmp_path)
    with ledger.transaction() as connection:
        audit.append(connection, 99 * 86400.0, "note.added", "dana", "later")
    assert anchor.check(signers[0], ledger, file) == audit.Verdict(True, 11)


def test_a_chain_rewritten_whole_by_the_owner_of_the_database_is_found(
    ledger: Ledger, signers: Any, tmp_path: Path
) -> None:
    """Every hash is made anew, so that `verify` alone finds nothing: the anchor does."""
    file = anchored(ledger, signers, tmp_path)
    with ledger.transaction(reading=True) as connection:
        old = list(audit.entries(connection))
    before, statements = audit.GENESIS, []
    for entry in old:
        summary = "nothing happened" if entry.id == 2 else entry.summary
        data = audit.canonical(entry.data)
        hash = audit.digest(entry.id, entry.at, entry.incident, entry.type, entry.actor, summary, data, before)
        statements.append(
            f"UPDATE audit SET summary = '{summary}', prev_hash = '{before}', hash = '{hash}' WHERE id = {entry.id}"
        )
        before = hash
    as_owner(ledger, *statements, f"UPDATE chain SET hash = '{before}'")
    assert audit.verify(ledger).ok
    verdict = anchor.check(signers[0], ledger, file)
    assert (verdict.ok, verdict.broken_at) == (False, 10)


def test_an_anchor_of_a_key_from_outside_does_not_hold(ledger: Ledger, signers: Any, tmp_path: Path) -> None:
    file = anchored(ledger, signers, tmp_path)
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "statement": kept["statement"].replace('\\"id\\":10', '\\"id\\":9')}))
    with pytest.raises(Refused, match="does not hold"):
        anchor.check(signers[0], ledger, file)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"statement": "x", "signature": "y"}'])
def test_what_is_no_anchor_is_bad_input(ledger: Ledger, signers: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "anchor.json").write_text(content)
    with pytest.raises(InputError):
        anchor.check(signers[0], ledger, tmp_path / "anchor.json")
