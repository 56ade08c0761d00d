"""Ways round the guard to a cluster. Each asserts by the cluster itself that nothing was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import forks
from support.kubernetes_shop import Shop
from support.kubernetes_team import Team

from sre_responder.home.runbook import SHIPPED
from sre_responder.ledger import Ledger, audit
from sre_responder.model.actions import ACTIONS

OPTIONS: dict[str, Callable[[Shop], dict[str, Any]]] = {
    "kubernetes_drain": lambda shop: {"node": "node-1"},
    "kubernetes_evict": lambda shop: {"pod": shop.pods()[0]},
    "kubernetes_hold": lambda shop: {},
    "kubernetes_isolate": lambda shop: {"how": "network_policy"},
    "kubernetes_pause_rollout": lambda shop: {},
    "kubernetes_restart": lambda shop: {},
    "kubernetes_restore": lambda shop: {},
    "kubernetes_rollback": lambda shop: {"to": "previous"},
    "kubernetes_scale": lambda shop: {"replicas": 4},
}


def play(shop: Shop, action: str, **options: Any) -> list[dict[str, Any]]:
    """The shipped runbook for a bad rollout, with this action alone."""
    [found] = yaml.safe_load((SHIPPED / "kubernetes-bad-rollout" / "runbook.yml").read_text())
    look = found["tasks"][0]
    found["tasks"] = [look, {"name": "Act", f"sre.responder.{action}": {**OPTIONS[action](shop), **options}}]
    found["vars"]["runbook"] |= {"id": "round", "alerts": "labels.alertname == 'Round'"}
    return [found]


def world(shop: Shop) -> dict[str, Any]:
    """All that an action could change."""
    kinds = "deployments,pods,networkpolicies,leases"
    objects = shop.cluster.get(kinds, "-n", shop.namespace)["items"] + shop.cluster.get("nodes")["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}": [one["metadata"].get("annotations"), one.get("spec")]
        for one in objects
    }


def run(team: Team, document: list[dict[str, Any]], *words: str) -> subprocess.CompletedProcess[str]:
    """Plain ansible-playbook, as anybody could type it."""
    path = team.root / "round.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return _play(team, path, *words)


def _play(team: Team, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    names = json.dumps({"incident": team.incident(), "service": "shop", "target": "staging"})
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-e", names, *words, str(path)]
    return forks.run(command, team.environ, team.root, timeout=120)


def refusals(team: Team) -> str:
    with Ledger(team.environ["RESPONDER_LEDGER"]).transaction(reading=True) as connection:
        assert not list(audit.entries(connection, type="action.started"))
        return "\n".join(entry.summary for entry in audit.entries(connection, type="gate.blocked"))


@pytest.fixture
def bad(team: Team) -> Team:
    """The shop's newest release is bad, so that every action has something to do."""
    team.shop.release("1")
    team.shop.release_bad()
    return team


def test_every_action_on_kubernetes_is_tried() -> None:
    assert {*OPTIONS} == {name for name, spec in ACTIONS.items() if spec.platform == "kubernetes"}


def test_the_world_is_real_an_honest_runbook_changes_it(bad: Team) -> None:
    before = world(bad.shop)
    bad.register(play(bad.shop, "kubernetes_rollback"))
    done = _play(bad, bad.root / "home" / "runbooks" / "round" / "runbook.yml")
    assert done.returncode == 0, done.stdout
    assert world(bad.shop) != before


@pytest.mark.parametrize("action", OPTIONS)
def test_a_playbook_that_nobody_registered_changes_nothing(bad: Team, action: str) -> None:
    before = world(bad.shop)
    done = run(bad, play(bad.shop, action))
    assert done.returncode != 0 and world(bad.shop) == before, done.stdout
    assert "runbook:" in refusals(bad)


CARELESS: dict[str, tuple[dict[str, Any], str]] = {
    "ignore_errors": ({"ignore_errors": True}, "ignore_errors"),
    "a loop over workloads": ({"loop": ["shop", "other"]}, "loop"),
    "a credential through the task's environment": ({"environment": {"PYTHONPATH": "/nowhere"}}, "PYTHONPATH"),
}


@pytest.mark.parametrize("way", CARELESS)
def test_a_careless_task_changes_nothing(bad: Team, way: str) -> None:
    keywords, cause = CARELESS[way]
    document = play(bad.shop, "kubernetes_rollback")
    document[0]["tasks"][1] |= keywords
    before = world(bad.shop)
    done = run(bad, document)
    assert world(bad.shop) == before, done.stdout
    assert cause in refusals(bad)


def test_a_runbook_that_names_the_workload_of_another_service_changes_nothing(bad: Team) -> None:
    """The gates looked at the shop: its radius, its approvals, its incident."""
    other = Shop(bad.shop.cluster, bad.shop.namespace, name="other")
    other.release("1")
    other.release_bad()
    bad.register(play(bad.shop, "kubernetes_rollback", name="other"))
    before = world(bad.shop)
    done = _play(bad, bad.root / "home" / "runbooks" / "round" / "runbook.yml")
    assert done.returncode != 0 and world(bad.shop) == before, done.stdout
    assert "is of 'other' by its label" in refusals(bad)


@pytest.mark.parametrize("words", [("--check",), ("--tags", "all,never")], ids=" ".join)
def test_a_command_line_changes_nothing(bad: Team, words: tuple[str, ...]) -> None:
    bad.register(play(bad.shop, "kubernetes_rollback"))
    before = world(bad.shop)
    done = _play(bad, bad.root / "home" / "runbooks" / "round" / "runbook.yml", *words)
    assert world(bad.shop) == before, done.stdout


def test_under_a_stop_nothing_is_changed(bad: Team) -> None:
    assert bad.responder("stop", "look first").returncode == 0
    bad.register(play(bad.shop, "kubernetes_rollback"))
    before = world(bad.shop)
    done = _play(bad, bad.root / "home" / "runbooks" / "round" / "runbook.yml")
    assert done.returncode != 0 and world(bad.shop) == before, done.stdout
    assert "look first" in refusals(bad)
