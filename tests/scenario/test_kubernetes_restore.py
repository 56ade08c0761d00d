"""A whole incident whose cause is beside the pods: what was remembered while all was well is restored, and the restore undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.control_plane import wait_until
from support.kubernetes_team import Team

pytestmark = pytest.mark.slow


def measured(team: Team) -> dict[str, Any]:
    told = team.responder("kubernetes", "known-good", "--all", "--json")
    assert told.returncode == 0, told.stderr
    [one] = json.loads(told.stdout)
    return dict(one)


def selector(team: Team) -> dict[str, str]:
    return dict(team.shop.cluster.get("service", "shop", "-n", team.shop.namespace)["spec"]["selector"])


def endpoints(team: Team) -> int:
    slices = team.shop.cluster.get("endpointslices", "-n", team.shop.namespace)["items"]
    return sum(len(one.get("endpoints") or ()) for one in slices)


def test_what_was_remembered_while_all_was_well_is_restored_and_its_undo_takes_that_back(team: Team) -> None:
    """Nobody ever applied the Service: only Responder knows how it was."""
    team.shop.release("1")
    team.shop.kubectl("create", "service", "clusterip", "shop", "--tcp=80")
    wait_until(lambda: endpoints(team) == 2, "the Service leads to both pods")
    well = measured(team)
    assert well["state"] == "healthy" and well["remembered"] >= 3, well

    team.shop.kubectl("set", "selector", "service/shop", "app=other")
    wait_until(lambda: not endpoints(team), "it leads nowhere")
    ill = measured(team)
    assert ill["state"] == "unhealthy" and ill["remembered"] is None, "what is not healthy is not remembered"

    healed = team.alert("HighErrorRate")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    steps = [f"{step['action']} {step['result']}" for step in json.loads(healed.stdout)["steps"]]
    assert steps[1:3] == ["kubernetes_restore improved", "kubernetes_rollback healthy"]
    assert selector(team) == {"app": "shop"}

    [incident] = json.loads(team.responder("incident", "list", "--json").stdout)
    told = team.responder("timeline", incident["id"], "--json").stdout
    assert "Service shop was changed by" in told or "Service shop selects app=other" in told, "the cause is named"
    undone = team.responder("undo", "1")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert selector(team) == {"app": "other"}
