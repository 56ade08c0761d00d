"""Ways to act while it is not known how far that reaches: calls that nobody observed lately are not calls that do not exist."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bypass.world import World, world

from sre_responder.home import observed
from sre_responder.home.observed import Call, Seen

GRAPH = {"sources": [{"kind": "istio", "connection": "mesh"}], "max_age_minutes": 60}


@pytest.fixture
def meshed(tmp_path: Path) -> Iterator[World]:
    """A service whose calls a mesh should show; in staging nothing else needs an approval."""
    with world(tmp_path, forked=True, graph=GRAPH) as here:
        yield here


def shown(here: World, age_s: float) -> dict[str, Any]:
    return {"istio@mesh": Seen(at=time.time() - age_s, calls=(Call("web", "checkout", 1.0, time.time()),))}


def test_the_graph_is_real_calls_that_were_observed_lately_let_an_honest_runbook_act(meshed: World) -> None:
    observed.save(meshed.home.state / observed.FILE, shown(meshed, 60))
    meshed.play()
    assert meshed.release == "1"
    [entry] = meshed.entries("action.started")
    assert entry.data["radius"]["downstream"] == ["web"] and entry.data["radius"]["traffic"] == 1.0


@pytest.mark.parametrize("way", ["never read", "old", "of a clock ahead", "of another source", "no JSON", "a folder"])
def test_without_calls_of_late_nothing_is_done_until_a_person_approves(meshed: World, way: str) -> None:
    place = meshed.home.state / observed.FILE
    if way in ("old", "of a clock ahead"):
        observed.save(place, shown(meshed, {"old": 3700, "of a clock ahead": -3700}[way]))
    elif way == "of another source":
        observed.save(place, {"linkerd@mesh": shown(meshed, 0)["istio@mesh"]})
    elif way == "no JSON":
        place.write_text('{"istio@mesh": {"at": ')
    elif way == "a folder":
        place.mkdir()
    meshed.play()
    assert meshed.release == "2" and meshed.started() == 0
    assert "it is not known who calls checkout" in meshed.refusals()
    [waiting] = json.loads(meshed.responder("approvals", "--json").stdout)
    assert waiting["action"] == "release_rollback"


def test_another_state_folder_than_that_of_the_ledger_hides_no_age(meshed: World, tmp_path: Path) -> None:
    observed.save(tmp_path / "mine" / "sre-responder" / observed.FILE, shown(meshed, 0))
    meshed.play(XDG_STATE_HOME=str(tmp_path / "mine"))
    assert meshed.release == "2" and "has not been read yet" in meshed.refusals()
