"""What is no file in the place of one is named, and nobody waits for it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.light import home_with
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.home import Home

PLACES = {
    "policy.yml": "policy",
    "catalogue.yml": "catalogue",
    "people.yml": "people",
    "allowed_signers": "people",
    "revoked_keys": "people",
    "runbooks.lock": "runbooks",
    "inventory.yml": "vault",
    "inventory/hosts.yml": None,
    "runbooks/purge/runbook.yml": "folders",
}
"""What stands in a home, and the check of doctor that names it; None where nothing is read of it."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    ledger = f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"
    made = home_with(tmp_path, ledger)
    for name, value in {"HOME": tmp_path, "RESPONDER_HOME": made.folder, "RESPONDER_LEDGER": ledger}.items():
        monkeypatch.setenv(name, str(value))
    return made


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Who waits for a pipe is interrupted, and fails."""
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "device"])
@pytest.mark.parametrize("place", PLACES)
def test_doctor_names_what_is_no_file(home: Home, place: str, make: Callable[[Path], None]) -> None:
    path = home.folder / place
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    checks = {
        row["check"]: row for row in json.loads(CliRunner().invoke(cli.app, ["doctor", "--json"]).stdout)["checks"]
    }
    named = PLACES[place]
    if named is not None:
        assert not checks[named]["ok"] and str(path) in checks[named]["problem"], checks[named]
        assert "does not exist" not in checks[named]["problem"]


@pytest.mark.parametrize("place", [one for one, named in PLACES.items() if named])
def test_a_preview_names_what_is_no_file(home: Home, place: str) -> None:
    path = home.folder / place
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = CliRunner().invoke(cli.app, ["run", "purge", "--incident", "INC-1234", "--check"])
    assert str(path) in str(done.exception) and "does not exist" not in str(done.exception)
