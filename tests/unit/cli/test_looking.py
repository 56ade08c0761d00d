"""Commands that only look: what a change reaches, what is wrong, what the next person must know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from support import ledgers
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.errors import ResponderError
from sre_responder.ledger import Ledger, incidents

Ask = Callable[..., Result]


def component(name: str, *needs: str, environments: str = "dev", **annotations: str) -> dict[str, object]:
    told = {f"responder/{key}": value for key, value in annotations.items()}
    return {
        "kind": "Component",
        "metadata": {"name": name, "annotations": {"responder/environments": environments, **told}},
        "spec": {"type": "service", "dependsOn": [f"component:{one}" for one in needs]},
    }


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """`responder` in a home where edge needs shop, shop needs pay and stock, and pay and stock need each other."""
    home, url = tmp_path / "home", f"sqlite:///{tmp_path / 'ledger.db'}"
    home.mkdir()
    (home / "policy.yml").write_text("profile: homelab\n")
    services = [
        component("edge", "shop"),
        component("shop", "pay", "stock", "outside"),
        component("pay", "stock", tier="backend"),
        component("stock", "pay", environments="dev, staging"),
    ]
    (home / "catalogue.yml").write_text(yaml.safe_dump_all(services))
    ledger = ledgers.make(Ledger(url))
    with ledger.transaction() as connection:
        incidents.open_(
            connection, ledger.now(connection), id="INC-1234", service="shop", environment="dev", severity="SEV3",
            title="slow", actor="dana",
        )  # fmt: skip
    monkeypatch.setenv("RESPONDER_HOME", str(home))
    monkeypatch.setenv("RESPONDER_LEDGER", url)
    return lambda *words: CliRunner().invoke(cli.app, words)


def test_the_neighbourhood_is_drawn_in_both_directions_as_far_as_asked(ask: Ask) -> None:
    drawn = [line.strip("│├└─ ") for line in ask("radius", "shop", "--hops", "1").stdout.splitlines()]
    assert drawn == [
        "shop is needed by", "edge", "shop needs", "outside (not in the catalogue)", "pay (backend)", "1 more", "stock", "1 more",
    ]  # fmt: skip


def test_services_that_need_each_other_end_the_drawing_no_later(ask: Ask) -> None:
    assert ask("radius", "pay", "--hops", "9").exit_code == 0


def test_the_neighbourhood_for_programs_is_what_the_guard_reckons_with(ask: Ask) -> None:
    found = json.loads(ask("radius", "pay", "--json").stdout)
    assert found["downstream"] == ["edge", "shop", "stock"] and found["repairs_nearby"] == []


def test_a_service_that_nobody_knows_is_named(ask: Ask) -> None:
    for command in ("radius", "diagnose"):
        error = ask(command, "nope").exception
        assert isinstance(error, ResponderError) and "'nope' is not in the catalogue" in error.message


def test_a_diagnosis_says_of_each_collector_what_it_found_or_why_not(ask: Ask) -> None:
    done = ask("diagnose", "shop")
    assert done.exit_code == 0
    parts = {line.split()[0] for line in done.stdout.splitlines()}
    assert parts == {"probe", "processes", "releases", "log", "kubernetes", "host", "left_as_bad", "dependencies"}
    assert set(json.loads(ask("diagnose", "shop", "--json").stdout)["diagnosis"]) == parts


def test_a_service_of_several_environments_is_diagnosed_in_one_that_was_named(ask: Ask) -> None:
    error = ask("diagnose", "stock").exception
    assert isinstance(error, ResponderError) and "dev, staging" in error.message
    assert ask("diagnose", "stock", "--environment", "staging").exit_code == 0


def test_a_handover_names_the_next_command(ask: Ask) -> None:
    assert "next: responder timeline INC-1234" in ask("handoff", "INC-1234").stdout
    assert json.loads(ask("handoff", "INC-1234", "--json").stdout)["next"] == "responder timeline INC-1234"
    error = ask("handoff", "INC-9999").exception
    assert isinstance(error, ResponderError) and "INC-9999 is not in the ledger" in error.message
