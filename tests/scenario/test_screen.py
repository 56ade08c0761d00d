"""What plain ansible-playbook prints of a refusal and of a step left out; the result of the task keeps every gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bypass.world import World
from bypass.world import world as new_world

from sre_responder.guard.gates import GATES


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path / "world") as here:
        yield here


def told(stdout: str) -> str:
    """What was printed of the guarded task."""
    return stdout.partition("TASK [Roll back]")[2].partition("PLAY RECAP")[0]


def test_a_refusal_prints_why_who_clears_it_and_the_command_and_the_result_has_every_gate(world: World) -> None:
    with world.write().open("a") as file:
        file.write("# changed since it was registered\n")
    done = world.play()
    printed = told(done.stdout)
    assert done.returncode == 2 and len(printed) < 2000, printed
    assert "release_rollback refused; nothing was changed." in printed
    assert "roll-back has changed since it was registered" in printed
    assert "Cleared by an operator." in printed and "responder runbooks register roll-back" in printed
    assert 'fatal: [localhost]: FAILED! => {"code": "refused"}' in printed

    verbose = told(world.play("-v").stdout)
    result = json.loads(verbose.partition("FAILED! => ")[2])
    assert [gate["name"] for gate in result["guard"]["gates"]] == [gate.__name__ for gate in GATES], result
    assert result["msg"].startswith("release_rollback refused")


def test_a_step_that_is_left_out_says_why(world: World) -> None:
    options = {"applies": False, "because": "nothing was released today"}
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(options))
    printed = told(world.play().stdout)
    assert printed.count("nothing was released today") == 1 and "skipping: [localhost]" in printed, printed
