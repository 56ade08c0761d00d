"""A run that dies while it watches: `responder watch` judges what it did, and undoes what made nothing better."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from bypass.world import DRIVEN, Play, World, world

from sre_responder.ledger import attempts

ROLL_BACK = "sre.responder.release_rollback"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as here:
        here.write(slow)
        yield here


def slow(play: Play) -> None:
    """A watch that is long enough to be killed in it."""
    play["vars"]["runbook"]["success"]["watch_s"] = 3
    play["tasks"][1][ROLL_BACK]["if_worse"] = "undo"


def killed(made: World) -> None:
    """The runbook is run, and everything of it dies once it has acted."""
    program = Path(sys.executable).parent / "responder"
    run = subprocess.Popen(
        [program, *DRIVEN], env=made.environ, cwd=made.root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not made.entries("effect.done"):
        assert run.poll() is None, "it ended before it acted"
        time.sleep(0.02)
    for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]:
        os.kill(process.pid, signal.SIGKILL)
    run.wait()


def test_what_made_nothing_better_is_undone_by_whoever_comes_next(made: World) -> None:
    killed(made)
    made.responder("watch", "--once")
    assert made.release == "2"
    assert [entry.data["outcome"] for entry in made.entries("action.ended") if entry.data["action"] != "undo"] == [
        "unknown", "not_improved"
    ]  # fmt: skip
    assert len(made.entries("undo.done")) == 1


def test_what_helped_is_called_improved_and_stays(made: World) -> None:
    made.heals("1")
    killed(made)
    made.responder("watch", "--once")
    assert made.release == "1"
    assert made.entries("action.ended")[-1].data["outcome"] == "improved"
    assert "frozen: nothing" in made.responder("status").stdout
    made.responder("watch", "--once")
    assert len(made.entries("action.ended")) == 2, "it is judged once"


def test_what_cannot_be_measured_stays_frozen_until_it_can(made: World) -> None:
    health = made.root / "app" / "releases" / "1" / "health.json"
    health.write_text("{")
    killed(made)
    made.responder("watch", "--once")
    assert made.release == "1" and "frozen: nothing" not in made.responder("status").stdout
    made.heals("1")
    made.responder("watch", "--once")
    assert "frozen: nothing" in made.responder("status").stdout


def test_nothing_is_judged_under_a_stop(made: World) -> None:
    killed(made)
    (made.root / "stop" / "EMERGENCY_STOP").write_text("hold")
    made.responder("watch", "--once")
    assert made.release == "1" and len(made.entries("action.ended")) == 1


def test_nothing_is_judged_by_a_runbook_that_has_changed_since(made: World) -> None:
    killed(made)
    made.write(lambda play: play["vars"]["runbook"]["success"].update(watch_s=1))  # and with another if_worse
    made.responder("watch", "--once")
    assert made.release == "1" and len(made.entries("action.ended")) == 1


def test_a_watcher_that_dies_too_leaves_the_attempt_to_the_next(made: World) -> None:
    killed(made)
    watcher = subprocess.Popen([Path(sys.executable).parent / "responder", "watch"], env=made.environ, cwd=made.root)
    while not held(made):
        assert watcher.poll() is None
        time.sleep(0.02)
    watcher.kill()
    watcher.wait()
    made.responder("watch", "--once")
    assert made.release == "2" and held(made) == 0


def held(made: World) -> int:
    """How many targets somebody alive holds, for what is judged now."""
    with made.ledger.transaction(reading=True) as connection:
        return len(attempts.held(connection)) if attempts.unknown(connection) else 0


def test_two_watchers_judge_once_and_undo_once(made: World) -> None:
    killed(made)
    program = Path(sys.executable).parent / "responder"
    both = [subprocess.Popen([program, "watch", "--once"], env=made.environ, cwd=made.root) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert made.release == "2"
    assert len(made.entries("undo.done")) == 1 and len(made.entries("undo.started")) == 1
