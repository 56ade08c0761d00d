"""Ways round the guard through distributions of others. Each asserts by the disk what was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World
from support import acme
from unit.guard.test_gates import snapshot

from sre_responder.extensions import Extension
from sre_responder.guard.gates import evaluate
from sre_responder.model.gate import Gate


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return acme.install(tmp_path_factory.mktemp("acme"))


def take(world: World, taken: dict[str, str]) -> None:
    path = world.home.folder / "policy.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "extensions": taken}))


def test_a_gate_of_others_refuses_where_the_policy_names_it_and_only_there(world: World, installed: Path) -> None:
    take(world, acme.TAKEN)
    refused = world.play(PYTHONPATH=str(installed))
    assert (world.release, world.started()) == ("2", 0), refused.stdout
    assert "acme-responder:payments: checkout handles payments" in world.refusals()
    take(world, {})
    world.play(PYTHONPATH=str(installed))
    assert (world.release, world.started()) == ("1", 1)


@pytest.mark.parametrize(
    ("taken", "cause"),
    [
        ({"acme-responder": ">=1.3"}, "is installed as 1.2.0; the policy takes >=1.3"),
        ({"acme-absent": ">=1"}, "acme-absent, which the policy names, is not installed"),
    ],
)
def test_a_distribution_that_the_policy_names_and_is_not_there_refuses_everything(
    world: World, installed: Path, taken: dict[str, str], cause: str
) -> None:
    take(world, taken)
    world.play(PYTHONPATH=str(installed))
    assert (world.release, world.started()) == ("2", 0)
    assert cause in world.refusals()


def test_another_version_of_a_distribution_makes_another_plan(world: World, tmp_path: Path) -> None:
    folder = acme.install(tmp_path / "acme")
    take(world, acme.TAKEN)
    for version in ("1.2.0", "1.2.1"):
        acme.upgrade(folder, version)
        world.play("--check", PYTHONPATH=str(folder))
    plans = [entry.data["plan"] for entry in world.entries("plan.made")]
    assert None not in plans and len(set(plans)) == len(plans) == 2


@dataclass
class Odd:
    """Something that is no verdict, and calls itself passed."""

    status: str = "passed"

    def as_dict(self) -> dict[str, Any]:
        return {}


def broken(_: Any) -> Gate:
    raise RuntimeError("odd")


GATES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda _: None,
    "true": lambda _: True,
    "an error": broken,
    "no verdict": lambda _: Odd(),
    "a word that is none": lambda _: Gate("x", "fine", "x"),  # type: ignore[arg-type]
    "what no record takes": lambda _: Gate("x", "passed", "x", {"it": object()}),
}


@pytest.mark.parametrize("way", GATES)
def test_a_gate_of_others_that_gives_no_verdict_refuses(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr("sre_responder.guard.gates.extensions", lambda *_: (Extension("acme", "odd", GATES[way]),))
    *ours, last = evaluate(snapshot())
    assert (last.name, last.status, any(one.blocks for one in ours)) == ("acme:odd", "unknown", False)


def test_a_gate_of_others_passes_for_none_of_ours_and_spends_and_clears_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_is_well(_: Any) -> Gate:
        return Gate("approval", "passed", "go ahead", spends_approval=True, clears_by_approval=True)

    monkeypatch.setattr(
        "sre_responder.guard.gates.extensions", lambda *_: (Extension("acme", "approval", all_is_well),)
    )
    found = evaluate(snapshot(scope_identified=False))
    assert [gate.name for gate in found if gate.blocks] == ["containment"]
    assert (found[-1].name, found[-1].spends_approval, found[-1].clears_by_approval) == ("acme:approval", False, False)
