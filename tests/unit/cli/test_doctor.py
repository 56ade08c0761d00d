"""`responder doctor`, `runbooks` and `register` name what is broken with its cure, and go on with the rest."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import PLAY, home_with
from typer.testing import CliRunner, Result

from sre_responder import cli
from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", made.ledger_url)
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


def problem(name: str) -> str:
    [row] = [one for one in json.loads(call("doctor", "--json").output)["checks"] if one["check"] == name]
    return f"{row['problem']} {row['cure']}".strip()


def test_one_broken_folder_is_named_by_doctor_and_runbooks_and_refused_by_register(home: Home) -> None:
    (home.folder / "runbooks" / "empty").mkdir()
    assert "empty holds no runbook.yml. Write runbook.yml" in problem("folders")
    rows: list[dict[str, Any]] = json.loads(call("runbooks", "--json").output)
    assert {row["id"]: bool(row["problem"]) for row in rows if not row["shipped"]} == {"purge": False, "empty": True}
    assert "empty  cannot be used: " in call("runbooks").output
    for name in ("empty", str(home.folder / "runbooks" / "empty")):
        assert "holds no runbook.yml" in str(call("runbooks", "register", name).exception)


def test_registering_a_folder_again_drops_what_it_no_longer_has(home: Home, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "runbook.yml").write_text(PLAY.replace("id: purge", "id: theirs"))
    (theirs / "old.txt").touch(mode=0o400)
    for old in (True, False):
        assert call("runbooks", "register", str(theirs)).exit_code == 0
        assert (home.folder / "runbooks" / "theirs" / "old.txt").exists() == old
        (theirs / "old.txt").unlink(missing_ok=True)


def test_a_standing_approval_of_an_unknown_digest_is_named(home: Home) -> None:
    policy = home.folder / "policy.yml"
    book = home.runbooks.named("purge")
    for digest, named in ((book.digest, False), (book.digest[:12], True), ("0" * 64, True)):
        written = {**yaml.safe_load(policy.read_text()), "approvals": {"standing": {digest: [1]}}}
        policy.write_text(yaml.safe_dump(written))
        assert (digest in problem("standing")) == named


def test_a_runbook_of_the_home_that_weakens_the_guard_is_named(home: Home) -> None:
    (home.folder / "runbooks" / "purge" / "runbook.yml").write_text(PLAY + "    - sre.responder.diagnos:\n")
    assert "Did you mean sre.responder.diagnose?" in problem("lint")


def test_a_ledger_that_is_ahead_of_the_clock_is_named(home: Home) -> None:
    ahead = Ledger(home.ledger_url, clock=lambda: time.time() + 86400)
    ahead.upgrade()
    with ahead.transaction() as connection:
        audit.append(connection, ahead.now(connection), "note.added", "test", "tomorrow")
    assert "dated 1440 min ahead of the clock" in problem("ledger")


def test_environments_that_share_a_target_are_named(home: Home) -> None:
    shared = {"responder/environments": "dev, production", "responder/cache-url": "http://cache/"}
    service = {"kind": "Component", "metadata": {"name": "checkout", "annotations": shared}}
    (home.folder / "catalogue.yml").write_text(yaml.safe_dump(service))
    assert "checkout in dev has the http cache of checkout in production" in problem("environments")
    assert "dev.responder/cache-url" in problem("environments")


@pytest.mark.parametrize("text", ["{{{", "all: [1\n", "- a\n", "5\n"])
def test_an_inventory_that_is_none_is_named(home: Home, text: str) -> None:
    (home.folder / "inventory.yml").write_text(text)
    assert str(home.folder / "inventory.yml") in problem("inventory")


@pytest.mark.parametrize("text", ["", "all: {hosts: {web1: {}}}\n", "---\n"])
def test_an_inventory_that_is_one_is_not(home: Home, text: str) -> None:
    (home.folder / "inventory.yml").write_text(text)
    assert problem("inventory") == ""


def test_what_is_revoked_and_cannot_be_read_is_named_for_no_signature_holds_then(home: Home) -> None:
    revoked = home.folder / "revoked_keys"
    assert problem("revoked keys") == ""
    revoked.symlink_to("nowhere")
    assert "leads to no file, so no signature holds" in problem("revoked keys")
    revoked.unlink()
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHYJ5p0Yv2m7mT7fKp6mHqXc1cS0mYQmVqYwYtB0eM3q ann"
    revoked.write_text(f"# gone\n{key}\n")
    assert problem("revoked keys") == ""
    revoked.write_text(f"{key}\nann\n")
    assert f"{revoked}:2 is no public key" in problem("revoked keys")
    revoked.write_bytes(b"SSHKRL\n\0anything")
    assert problem("revoked keys") == ""
