"""Ways to be called healthy without being so: counts, "tried" and the budget start anew only by a registered criterion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World, plain_play, world

from sre_responder.guard.picture import symptom
from sre_responder.home import runbook
from sre_responder.ledger import incidents

TRIVIAL = {"expect": "`true`", "minimum_samples": 1, "hold_s": 0, "interval_s": 0.05, "watch_s": 0.1}
"""A criterion that every answer meets, also that of a service which says that it is ill."""


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[World]:
    """A service that stays ill, and a policy by which one healthy measurement is a healthy period."""
    with world(tmp_path, forked=True, loop={"healthy_seconds": 0}) as here:
        yield here


def verifying(**success: Any) -> dict[str, Any]:
    """A play that measures, instead of the rollback, by a criterion of its own."""
    play = plain_play()
    names = dict(play["tasks"][0]["sre.responder.diagnose"])
    play["vars"]["runbook"]["success"] |= success
    play["tasks"] = [{"name": "Measure", "sre.responder.verify": names}]
    return play


def put(folder: Path, play: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runbook.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    return folder / "runbook.yml"


def recovered(here: World) -> float:
    with here.ledger.transaction(reading=True) as connection:
        return incidents.recovered_at(connection, symptom("staging", "checkout", "bad-release"))


def test_the_counts_are_real_a_registered_criterion_starts_them_anew(ill: World) -> None:
    play = put(ill.home.folder / "runbooks" / "trivial", verifying(**TRIVIAL))
    runbook.register(ill.home.folder, [play.parent])
    done = ill.play(playbook=play)
    assert done.returncode == 0, done.stdout
    assert recovered(ill) > 0


@pytest.mark.parametrize("where", ["elsewhere", "in the home", "over the registered one"])
def test_a_criterion_that_is_not_registered_starts_no_counts_anew(ill: World, where: str) -> None:
    """The measurement is reported to who asked for it, and remembered by nobody."""
    folder = {
        "elsewhere": ill.root / "elsewhere",
        "in the home": ill.home.folder / "runbooks" / "another",
        "over the registered one": ill.book,
    }[where]
    done = ill.play(playbook=put(folder, verifying(**TRIVIAL)))
    assert done.returncode == 0, done.stdout
    assert (recovered(ill), ill.entries("symptom.recovered")) == (0, [])


def test_outside_a_runbook_nothing_is_measured(ill: World) -> None:
    play = put(ill.root / "outside", verifying(**TRIVIAL))
    done = ill.play(playbook=play.rename(play.with_name("play.yml")))
    assert done.returncode != 0
    assert recovered(ill) == 0


def test_attempts_stay_counted_whatever_an_unregistered_play_measures(ill: World) -> None:
    """The way that was seen: fail, measure by a criterion that is always met, and fail again without end."""
    trivial = put(ill.root / "elsewhere", verifying(**TRIVIAL))
    for _ in range(4):
        ill.play()
        if ill.release == "1":
            ill.put_back()
        ill.play(playbook=trivial)
    assert ill.started() == 1, "that rollback did not help, and has been tried"


def test_health_by_a_variable_is_not_measured(ill: World) -> None:
    """Extra variables may bear the runbook's name; its criterion is read from the registered file."""
    ill.write(lambda play: play["tasks"].append({"name": "Measure", "sre.responder.verify": names_of(play)}))
    done = ill.play(
        "-e", yaml.safe_dump({"runbook": {"success": TRIVIAL}}, default_flow_style=True, width=10**6).strip()
    )
    assert done.returncode != 0
    assert recovered(ill) == 0


def names_of(play: dict[str, Any]) -> dict[str, Any]:
    return dict(play["tasks"][0]["sre.responder.diagnose"])
