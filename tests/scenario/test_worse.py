"""What follows an action that made nothing better: it is undone, a rollback comes next, or a person is called."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bypass.world import Play, World, world

ROLL_BACK = "sre.responder.release_rollback"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, forked=True) as here:
        here.write(option("undo"))
        yield here


def option(word: str) -> Any:
    """A play whose rollback says what follows it."""
    return lambda play: play["tasks"][1][ROLL_BACK].update(if_worse=word)


def outcomes(made: World) -> list[str]:
    return [entry.data["outcome"] for entry in made.entries("action.ended") if entry.data["action"] != "undo"]


def test_a_rollback_that_made_nothing_better_is_undone(made: World) -> None:
    done = made.drive()
    assert done.returncode == 6, done.stderr
    assert outcomes(made) == ["not_improved"]
    assert made.release == "2"
    [undone] = made.entries("undo.done")
    assert undone.data["attempt"] == made.entries("undo.started")[0].data["attempt"]
    assert "responder undo" not in made.responder("incident", "show", "INC-1234").stdout


def test_a_rollback_that_helped_stays(made: World) -> None:
    made.heals("1")
    assert made.drive().returncode == 0
    assert made.release == "1" and not made.entries("undo.started")


def test_a_service_that_cannot_be_measured_any_more_is_worse(made: World) -> None:
    (made.root / "app" / "releases" / "1" / "health.json").write_text("{")
    done = made.drive()
    assert done.returncode == 5 and "was undone" in done.stdout, done.stderr
    assert outcomes(made) == ["unknown"]
    assert made.release == "2"
    assert "frozen: nothing" in made.responder("status").stdout


def test_a_service_that_could_not_be_measured_before_is_not_called_worse(tmp_path: Path) -> None:
    with world(tmp_path, forked=True, requires={"approvals": False}) as made:
        made.write(option("undo"))
        for release in ("1", "2"):
            (made.root / "app" / "releases" / release / "health.json").write_text("{")
        done = made.drive()
        assert done.returncode == 5, done.stderr
        assert made.release == "1" and not made.entries("undo.started")
        assert "frozen: nothing" not in made.responder("status").stdout


@pytest.mark.parametrize("word", ["rollback", "hand_over"])
def test_a_task_may_want_something_else_than_an_undo(made: World, word: str) -> None:
    made.write(option(word))
    done = made.drive()
    assert done.returncode == 6, done.stderr
    assert made.release == "1" and not made.entries("undo.started")


def test_a_task_that_hands_over_leaves_no_later_step_to_the_run(made: World) -> None:
    def twice(play: Play) -> None:
        option("hand_over")(play)
        again = {**play["tasks"][1][ROLL_BACK], "to": "1", "because": "second"}
        play["tasks"].append({"name": "Roll back again", ROLL_BACK: again})

    made.write(twice)
    done = made.drive()
    assert done.returncode == 6 and "handed over to a person, as its task says" in done.stdout, done.stderr
    assert made.started() == 1
    [skip] = made.entries("action.skipped")
    assert skip.data["reason"] == "handed_over"


def test_an_unknown_word_is_refused_before_anything_is_done(made: World) -> None:
    made.write(option("pray"))
    done = made.drive()
    assert done.returncode in (2, 3) and made.release == "2", done.stderr
    assert "if_worse must be one of undo, rollback, hand_over, not 'pray'" in made.refusals()


def test_an_undo_that_somebody_else_got_ahead_of_halts_the_run_and_says_what_to_type(made: World) -> None:
    """Between the act and its undo a person makes another release current: theirs is not overwritten."""
    (made.root / "app" / "releases" / "3").mkdir()

    def slow(play: Play) -> None:
        option("undo")(play)
        play["vars"]["runbook"]["success"].update(watch_s=2)

    made.write(slow)

    def deploy() -> None:
        while not made.entries("effect.done"):
            time.sleep(0.05)
        (made.root / "app" / "next").symlink_to("releases/3")
        (made.root / "app" / "next").replace(made.root / "app" / "current")

    person = threading.Thread(target=deploy, daemon=True)
    person.start()
    done = made.drive()
    person.join(10)
    assert done.returncode == 6 and made.release == "3", done.stderr
    assert "made nothing better and could not be undone" in done.stdout
    [failed] = made.entries("undo.failed")
    assert "somebody has changed" in failed.summary
    assert f"responder undo {failed.data['attempt']}" in made.responder("incident", "show", "INC-1234").stdout


def test_a_state_that_was_left_as_bad_is_told_when_it_comes_back(made: World) -> None:
    """A rollback to 1 heals; somebody deploys 2 once more, and it fails once more."""
    made.heals("1")
    assert made.drive().returncode == 0 and made.release == "1"
    told = f"is again in the state that attempt 1 of INC-1234 left as bad on {time.strftime('%Y-%m-%d', time.gmtime())}"
    assert told not in made.responder("diagnose", "checkout").stdout
    (made.root / "app" / "next").symlink_to("releases/2")
    (made.root / "app" / "next").replace(made.root / "app" / "current")
    assert told in made.responder("diagnose", "checkout").stdout
    plan = made.responder(
        "plan", "roll-back", "--incident", "INC-1234", "--service", "checkout", "--environment", "staging"
    )
    assert f"warning: {socket.gethostname()}:release:{made.root / 'app'} {told}" in plan.stdout, plan.stdout
