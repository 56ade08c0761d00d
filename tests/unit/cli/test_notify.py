"""People hear of what was decided, test their channels before the night, and see what did not arrive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import home_with
from typer.testing import CliRunner, Result

from sre_responder import cli
from sre_responder.emergency import stop
from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit

Serve = Callable[..., str]
Call = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", made.ledger_url)
    return made


def call(home: Home, *words: str, channels: list[dict[str, Any]] | None = None) -> Result:
    """`responder WORDS` in a home with these channels."""
    if channels is not None:
        path = home.folder / "policy.yml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "notifications": channels}))
    return CliRunner().invoke(cli.app, words)


def pager(url: str) -> dict[str, Any]:
    return {"kind": "pagerduty", "routing_key": "k", "url": url}


def test_a_test_shows_what_each_receiver_answered_and_fails_if_one_failed(home: Home, serve: Serve) -> None:
    channels = [
        {"kind": "slack", "url": serve([b"ok"])},
        {"kind": "msteams", "url": serve([b"no_text"], status=400)},
        {"kind": "file", "path": str(home.folder / "messages.jsonl")},
    ]
    done = call(home, "notify", "test", channels=channels)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "ok  slack: delivered: ok",
        "--  msteams: msteams answered 400 no_text",
        f"ok  file: delivered: written to {home.folder / 'messages.jsonl'}",
    ]
    assert call(home, "notify", "test", "slack").exit_code == 0


def test_a_test_as_json_is_one_document(home: Home, serve: Serve) -> None:
    done = call(home, "notify", "test", "--json", channels=[{"kind": "slack", "url": serve(status=404)}])
    [found] = json.loads(done.stdout)
    assert (found["channel"], found["delivered"], found["reason"]) == ("slack", False, "slack answered 404")


def test_a_test_of_a_pager_triggers_and_resolves_one_matter(home: Home, serve: Serve) -> None:
    seen: list[bytes] = []
    assert call(home, "notify", "test", channels=[pager(serve(status=202, seen=seen))]).exit_code == 0
    first, second = (json.loads(body) for body in seen)
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"]


@pytest.mark.parametrize(("words", "channels"), [((), []), (("pigeon",), [{"kind": "terminal"}])])
def test_a_channel_that_is_not_there_is_bad_input(home: Home, words: tuple[str, ...], channels: list[Any]) -> None:
    done = call(home, "notify", "test", *words, channels=channels)
    assert (type(done.exception).__name__, "policy" in str(done.exception)) == ("InputError", True)


def test_closing_an_incident_resolves_it_in_the_pager(home: Home, serve: Serve) -> None:
    seen: list[bytes] = []
    with Ledger(home.ledger_url).transaction() as connection:
        audit.append(connection, 1.0, "gate.blocked", "dana", "refused", incident="INC-1234", notify="on_call")
    done = call(home, "incident", "close", "INC-1234", channels=[pager(serve(status=202, seen=seen))])
    assert done.exit_code == 0, done.output
    events = [(one["event_action"], one["dedup_key"]) for one in map(json.loads, seen)]
    assert events == [("trigger", "INC-1234"), ("resolve", "INC-1234")]


def test_lifting_a_stop_resolves_it_in_the_pager(home: Home, serve: Serve) -> None:
    seen: list[bytes] = []
    with Ledger(home.ledger_url).transaction() as connection:  # the command would end this process, whose run is open
        stop.raise_(connection, 1.0, "dana", "why")
    done = call(home, "lift", "STOP-1", channels=[pager(serve(status=202, seen=seen))])
    assert done.exit_code == 0, done.output
    events = [(one["event_action"], one["dedup_key"]) for one in map(json.loads, seen)]
    assert events == [("trigger", "STOP-1"), ("resolve", "STOP-1")]


@pytest.mark.parametrize("command", ["deliver", "status", "doctor"])
def test_what_a_receiver_did_not_take_is_shown(home: Home, serve: Serve, command: str) -> None:
    with Ledger(home.ledger_url).transaction() as connection:
        audit.append(connection, 1.0, "gate.blocked", "dana", "refused", incident="INC-1234", notify="on_call")
    call(home, "deliver", channels=[{"kind": "slack", "url": serve([b"no_text"], status=400)}])
    # The refusal, and that the incident is with a person for it.
    assert "2 messages to slack waiting: slack answered 400 no_text" in call(home, command).output


def test_doctor_names_the_secret_of_a_channel_that_is_missing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    found = call(home, "doctor", "--json", channels=[{"kind": "slack", "url": {"env": "HOOK"}}])
    rows = {row["check"]: row["problem"] for row in json.loads(found.stdout)["checks"]}
    assert rows["channels"] == "slack: the environment variable HOOK holds no secret."
