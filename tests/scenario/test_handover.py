"""The end of a ladder that did not help: one person is called, once, with what was tried."""

from __future__ import annotations

from pathlib import Path

import bypass.world
import pytest


@pytest.mark.parametrize("own_step", [True, False], ids=["the runbook hands over", "the driver hands over"])
def test_a_ladder_that_did_not_help_calls_a_person_once(tmp_path: Path, own_step: bool) -> None:
    with bypass.world.world(tmp_path, forked=True) as world:
        names = {"incident": "{{ incident }}", "service": "{{ service }}", "environment": "{{ target }}"}
        hand_over = {"name": "Hand over", "sre.responder.handoff": names}
        world.write(lambda play: play["tasks"].append(hand_over) if own_step else None)
        done = world.drive()
        [entry] = world.entries("handoff.made")
        assert done.returncode == 6, done.stdout
        assert [(one["action"], one["outcome"]) for one in entry.data["handoff"]["tried"]] == [
            ("release_rollback", "not_improved")
        ]
