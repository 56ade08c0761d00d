"""What an incident already knows need not be typed; status shows what is open and what was refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.light import home_with
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.cli import running
from sre_responder.cli.context import Context
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit, incidents, runs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", made.ledger_url)
    return made


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger(home.ledger_url)


@pytest.mark.parametrize(
    ("service", "environment", "found"),
    [
        (None, None, ("checkout", "dev")), ("other", None, ("other", "dev")),
        (None, "staging", ("checkout", "staging")), ("other", "staging", ("other", "staging")),
    ],
)  # fmt: skip
def test_service_and_environment_are_those_of_the_incident_unless_given(
    home: Home, ledger: Ledger, service: str | None, environment: str | None, found: tuple[str, str]
) -> None:
    assert running._about(Context(home, ledger), "INC-1234", service, environment) == found


def test_an_incident_that_is_not_known_needs_both(home: Home, ledger: Ledger) -> None:
    here = Context(home, ledger)
    with pytest.raises(InputError, match="INC-9999 is not in the ledger") as raised:
        running._about(here, "INC-9999", "checkout", None)
    assert "--service and --environment" in raised.value.cure
    assert running._about(here, "INC-9999", "checkout", "dev") == ("checkout", "dev")


def ran(ledger: Ledger, id: str, ending: str, *, halted: str = "", preview: bool = False) -> None:
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        runs.begin(
            connection, now, id, driven=True, requester="dana", incident="INC-1234", runbook="purge", preview=preview
        )
        if halted:
            runs.halt(connection, now, id, halted)
        runs.end(connection, ledger.now(connection), id, ending, "dana", ending)


def status() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads(CliRunner().invoke(cli.app, ["status", "--json"]).stdout)
    return found


def test_status_shows_open_incidents_until_they_are_closed(home: Home, ledger: Ledger) -> None:
    [row] = status()["incidents"]
    assert (row["what"], row["command"]) == ("INC-1234 SEV4 checkout in dev: x", "responder incident show INC-1234")
    with ledger.transaction() as connection:
        incidents.close(connection, ledger.now(connection), "INC-1234", "dana")
    assert status()["incidents"] == []


def test_status_shows_a_refused_run_until_a_later_one_was_not(home: Home, ledger: Ledger) -> None:
    ran(ledger, "a", "refused", halted="purge was refused (budget)")
    [row] = status()["refused"]
    assert (row["what"], row["command"]) == (
        "purge for INC-1234: purge was refused (budget)", "responder timeline INC-1234",
    )  # fmt: skip
    ran(ledger, "b", "previewed", preview=True)
    assert len(status()["refused"]) == 1, "a preview decides nothing"
    ran(ledger, "c", "healed")
    assert status()["refused"] == []


def test_a_refused_run_of_a_closed_incident_is_over(home: Home, ledger: Ledger) -> None:
    ran(ledger, "a", "refused")
    with ledger.transaction() as connection:
        incidents.close(connection, ledger.now(connection), "INC-1234", "dana")
    assert status()["refused"] == []


def test_a_preview_is_not_in_the_timeline_of_its_incident(home: Home, ledger: Ledger) -> None:
    ran(ledger, "a", "previewed", preview=True)
    with ledger.transaction(reading=True) as connection:
        types = [entry.type for entry in audit.entries(connection, incident="INC-1234")]
    assert types == ["incident.opened"]
