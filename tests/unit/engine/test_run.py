"""What a run does before its first task: a runbook that may not run is refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.light import PLAY, home_with

from sre_responder.engine.run import climb
from sre_responder.errors import Refused
from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit

UNGUARDED = (
    PLAY
    + """\
    - {name: Touch, ansible.builtin.command: touch EVIL}
"""
)


def refused(home: Home, *, check: bool = False) -> str:
    """Why the runbook is not run, and that no folder of a run was made for it."""
    with pytest.raises(Refused) as raised:
        climb(
            home, Ledger(home.ledger_url), home.runbooks.named("purge"), incident="INC-1234", service="checkout",
            environment="dev", check=check,
        )  # fmt: skip
    assert not (home.state / "runs").exists()
    return str(raised.value)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


def test_no_task_of_a_runbook_that_changed_since_it_was_registered_is_run(home: Home) -> None:
    playbook = home.folder / "runbooks" / "purge" / "runbook.yml"
    playbook.write_text(playbook.read_text() + "# changed\n")
    here = Home(home.folder, home.ledger_url, home.state)
    assert "no task of it was run" in refused(here)
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="gate.blocked")
    assert (entry.incident, entry.data["gates"][0]["name"]) == ("INC-1234", "runbook")


@pytest.mark.parametrize("check", [False, True], ids=["a run", "a preview"])
def test_no_task_of_a_runbook_that_weakens_the_guard_is_run(tmp_path: Path, check: bool) -> None:
    home = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", UNGUARDED)
    told = refused(home, check=check)
    assert "weakens the guard" in told and "responder lint" in told
