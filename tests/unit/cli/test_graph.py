"""`responder graph`, and what `radius`, `plan` and `doctor` say of calls that were observed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from support import ledgers
from support.answering import answering
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.errors import InputError
from sre_responder.home import observed
from sre_responder.home.observed import Call, Seen
from sre_responder.ledger import Ledger
from sre_responder.ledger.troubles import Trouble
from sre_responder.record.radius_report import Estimate

LINKS = b'[{"parent": "edge", "child": "shop-api", "callCount": 3600}, {"parent": "shop-api", "child": "fax", "callCount": 1}]'
Ask = Callable[..., Result]


def component(name: str, *needs: str, **annotations: str) -> dict[str, object]:
    told = {f"responder/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"kind": "Component", "metadata": {"name": name, "annotations": told}, "spec": {"dependsOn": list(needs)}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose calls a Zipkin should show, where shop declares that it needs pay."""
    folder, url = tmp_path / "home", f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"
    folder.mkdir()
    graph = {"sources": [{"kind": "zipkin", "connection": "traces"}]}
    (folder / "policy.yml").write_text(yaml.safe_dump({"profile": "homelab", "graph": graph}))
    services = [
        component("edge"),
        component("shop", "pay", mesh_name="shop-api", criticality="tier-0"),
        component("pay"),
    ]
    (folder / "catalogue.yml").write_text(yaml.safe_dump_all(services))
    ledgers.make(Ledger(url))
    monkeypatch.setenv("RESPONDER_HOME", str(folder))
    monkeypatch.setenv("RESPONDER_LEDGER", url)
    return folder


@pytest.fixture
def ask(home: Path) -> Ask:
    return lambda *words: CliRunner().invoke(cli.app, words)


def connect(home: Path, url: str) -> None:
    (home / "connections.yml").write_text(yaml.safe_dump({"traces": {"platform": "zipkin", "url": url}}))


@pytest.fixture
def refreshed(home: Path, ask: Ask) -> Result:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(LINKS), LINKS)) as url:
        connect(home, url)
        return ask("graph", "refresh")


def test_a_refresh_says_what_each_source_showed(refreshed: Result) -> None:
    assert (refreshed.exit_code, refreshed.stdout) == (0, "ok  zipkin@traces: 2 calls, read 0 s ago\n")


def test_a_refresh_that_fails_says_why_and_exits_with_1(home: Path, ask: Ask, refreshed: Result) -> None:
    connect(home, "http://127.0.0.1:9")
    failed = ask("graph", "refresh", "--json")
    assert failed.exit_code == 1
    [row] = json.loads(failed.stdout)["sources"]
    assert row["calls"] == 2 and "cannot reach http://127.0.0.1:9" in row["problem"]


def test_without_sources_a_refresh_is_nothing_to_complain_about(home: Path, ask: Ask) -> None:
    (home / "policy.yml").write_text("profile: homelab\n")
    assert ask("graph", "refresh").exit_code == 0
    assert ask("graph", "list").stdout == "shop needs pay: declared\n"
    assert isinstance(ask("graph", "list", "--one-sided").exception, InputError)


def test_every_edge_says_where_it_is_known_from(ask: Ask, refreshed: Result) -> None:
    assert ask("graph", "list").stdout.splitlines() == [
        "edge needs shop: not declared, zipkin@traces 0 s ago",
        "shop needs fax: not declared, zipkin@traces 0 s ago",
        "shop needs pay: declared, never observed",
    ]
    assert [one["needed"] for one in json.loads(ask("graph", "list", "--one-sided", "--json").stdout)] == [
        "shop",
        "fax",
        "pay",
    ]


def test_the_neighbourhood_shows_what_was_observed_too(ask: Ask, refreshed: Result) -> None:
    drawn = [line.strip("│├└─ ") for line in ask("radius", "pay").stdout.splitlines()]
    assert drawn == [
        "pay is needed by", "shop (tier 0) - declared, never observed", "edge - not declared, zipkin@traces 0 s ago", "pay needs nothing",
    ]  # fmt: skip
    found = json.loads(ask("radius", "--json", "pay").stdout)
    assert (found["downstream"], found["tier_0"], found["unknown"]) == (["edge", "shop"], ["shop"], "")
    assert found["traffic"] == pytest.approx(3600 / 3601)


def test_calls_that_are_old_are_said_to_be_by_radius_and_doctor(home: Path, ask: Ask, refreshed: Result) -> None:
    def graph() -> dict[str, object]:
        checks = json.loads(ask("doctor", "--json").stdout)["checks"]
        return next(one for one in checks if one["check"] == "graph")

    assert graph()["ok"] is True
    assert "known to one side: 3 dependencies" in ask("doctor").stdout
    old = {"zipkin@traces": Seen(at=time.time() - 7300, calls=(Call("edge", "shop", 1, 0),))}
    observed.save(home.parent / "state" / observed.FILE, old)
    assert "zipkin@traces was last read 122 min ago" in str(graph()["problem"])
    assert "It is not known who calls pay" in ask("radius", "pay").stderr


def test_a_source_whose_connection_is_missing_is_named_by_doctor(ask: Ask) -> None:
    [graph] = [one for one in json.loads(ask("doctor", "--json").stdout)["checks"] if one["check"] == "graph"]
    assert "no connection 'traces' of platform zipkin" in graph["problem"]


def test_without_actions_there_is_nothing_to_score(ask: Ask) -> None:
    assert ask("radius", "report", "--json").stdout == "[]\n"
    assert "No action ended" in ask("radius", "report").stderr


def test_the_score_of_each_action_names_who_was_not_expected(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    made = Estimate("restart", "db", "dev", now - 60, now - 50, frozenset({"shop", "edge"}))
    monkeypatch.setattr("sre_responder.record.radius_report.made", lambda *_: [made])
    ill = [Trouble("shop", "dev", now - 40, None), Trouble("mail", "dev", now - 40, None)]
    monkeypatch.setattr("sre_responder.cli.radius.troubles", lambda *_: ill)
    assert ask("radius", "report").stdout == (
        "restart: estimates 1 (of unknown reach 0), services expected 2, reached 2, actions beyond 1; precision 50%, recall 50%; not expected: mail\n"
    )
    [row] = json.loads(ask("radius", "report", "--within", "5s", "--json").stdout)
    assert (row["reached"], row["recall"], row["precision"]) == (0, None, 0.0)


def test_the_picture_and_its_tooltips_are_written_where_asked(ask: Ask, refreshed: Result, tmp_path: Path) -> None:
    assert ask("radius", "pay", "--svg", str(tmp_path / "pay.svg")).exit_code == 0
    assert "edge needs shop: not declared, zipkin@traces" in (tmp_path / "pay.svg").read_text()


def test_a_service_may_be_shown_by_the_whole_command(ask: Ask, refreshed: Result) -> None:
    assert ask("radius", "show", "pay").stdout == ask("radius", "pay").stdout
    assert ask("radius", "--help").exit_code == 0
