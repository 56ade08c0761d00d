"""Small real runs: how each one ends, and that nothing of it is left whatever it started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from sre_responder.drive.group import group
from sre_responder.system.prove import MARK, end

DRIVER = """
import dataclasses, json, os, psutil, sys
from pathlib import Path
from sre_responder.drive.environment import inherited
from sre_responder.drive.prepare import prepare
from sre_responder.drive.run import run
from sre_responder.home import Home

folder, word, deadline = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
events = []

def watch():
    if word == "late":
        return None if psutil.Process().children() else "stopped"
    if not word or not (folder / "started").exists():
        return None
    if word == "raise":
        raise RuntimeError("the watch is broken")
    return word

given = inherited(os.environ, Home(folder, "", folder))
prepared = prepare(f"run-{os.getpid()}", folder / "book", folder / "run", {}, None, given)
try:
    ended = run(prepared, watch=watch, on_event=events.append, deadline_s=deadline)
    print(json.dumps({**dataclasses.asdict(ended), "events": [event["event"] for event in events]}))
except RuntimeError as error:
    print(json.dumps({"raised": str(error)}))
"""
Drive = Callable[..., dict[str, Any]]


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    """`drive(TASK...)` is how a run of these tasks ended, in a process of its own, as the driver adopts what is orphaned below it."""

    def run(*tasks: Any, word: str = "", deadline_s: float = 60, **environ: str) -> dict[str, Any]:
        (tmp_path / "book").mkdir()
        (tmp_path / "policy.yml").write_text("profile: homelab\n")
        play = {"hosts": "localhost", "gather_facts": False, "vars": {"here": str(tmp_path)}, "tasks": list(tasks)}
        (tmp_path / "book" / "runbook.yml").write_text(yaml.safe_dump([play]))
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(tmp_path), word, str(deadline_s)],
            env={**os.environ, "HOME": str(tmp_path), **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    yield run
    for process in _survivors(tmp_path):
        process.kill()


def _survivors(folder: Path) -> list[psutil.Process]:
    """What a task noted of itself in `pid` and still lives."""
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int((folder / "pid").read_text()))
        return [process] if process.status() != psutil.STATUS_ZOMBIE else []
    return []


def shell(script: str) -> dict[str, Any]:
    return {"ansible.builtin.command": {"argv": ["sh", "-c", script], "chdir": "{{ here }}"}}


NOTE = "echo $$ > pid; touch started; exec sleep 600"
LATER = shell("touch later")
ELSEWHERE = {
    "in the task itself": NOTE,
    "deaf to SIGTERM": f"trap '' TERM; {NOTE}",
    "in a session of its own": f"setsid sh -c '{NOTE}'",
    "in a session of its own, its environment emptied": f"env -i PATH=$PATH setsid sh -c '{NOTE}'",
    "an orphan, its environment emptied": f"env -i PATH=$PATH setsid sh -c '{NOTE}' >/dev/null 2>&1 & sleep 600",
}


def test_a_run_that_does_its_tasks_is_finished(drive: Drive, tmp_path: Path) -> None:
    ended = drive(shell("touch here"))
    assert (ended["reason"], ended["rc"], ended["ended"], ended["left"]) == ("finished", 0, [], [])
    assert (tmp_path / "here").exists()
    assert ended["events"][-1] == "playbook_on_stats"


def test_a_run_whose_task_fails_is_finished_with_ansibles_own_code(drive: Drive, tmp_path: Path) -> None:
    ended = drive(shell("exit 7"), LATER)
    assert (ended["reason"], ended["rc"]) == ("finished", 2)
    assert not (tmp_path / "later").exists()


def test_a_run_that_a_stop_ended_before_the_watch_looked_is_stopped(drive: Drive) -> None:
    """`responder stop` ends what bears the run's mark while the driver sleeps: Ansible's code is not how the run ended."""
    ended = drive(shell("exit 7"), word="late")
    assert (ended["reason"], ended["rc"]) == ("stopped", 2)


@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_word_of_the_watch_ends_a_run_with_nothing_left(drive: Drive, tmp_path: Path, case: str) -> None:
    ended = drive(shell(ELSEWHERE[case]), LATER, word="stopped")
    assert ended["reason"] == "stopped"
    assert ended["left"] == []
    assert _survivors(tmp_path) == []
    assert int((tmp_path / "pid").read_text()) in {process["pid"] for process in ended["ended"]}
    assert not (tmp_path / "later").exists()


@pytest.mark.parametrize("emptied", ["", "env -i PATH=$PATH "])
def test_what_a_task_left_behind_does_not_outlive_its_run(drive: Drive, tmp_path: Path, emptied: str) -> None:
    ended = drive(
        shell(f"{emptied}setsid sh -c '{NOTE}' >/dev/null 2>&1 & while ! [ -e started ]; do sleep 0.05; done")
    )
    assert (ended["reason"], ended["rc"], ended["left"]) == ("finished", 0, [])
    assert _survivors(tmp_path) == []


def test_a_run_that_takes_longer_than_its_deadline_is_ended(drive: Drive, tmp_path: Path) -> None:
    ended = drive(shell(NOTE), LATER, deadline_s=2)
    assert (ended["reason"], ended["left"]) == ("deadline", [])
    assert _survivors(tmp_path) == []
    assert not (tmp_path / "later").exists()


def test_a_watch_that_raises_protects_nothing_any_more_so_the_run_is_ended_and_it_is_told(
    drive: Drive, tmp_path: Path
) -> None:
    assert drive(shell(NOTE), LATER, word="raise") == {"raised": "the watch is broken"}
    assert _survivors(tmp_path) == []
    assert not (tmp_path / "later").exists()


def test_a_home_that_cannot_be_written_hinders_no_run(drive: Drive, tmp_path: Path) -> None:
    ended = drive(shell("touch here"), HOME="/dev/null")
    assert (ended["reason"], ended["rc"]) == ("finished", 0)
    assert (tmp_path / "here").exists()


def test_settings_of_ansible_around_the_driver_do_not_reach_the_run(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "evil.cfg").write_text("[defaults]\nstrategy = no.such.strategy\n")
    ended = drive(shell("touch here"), ANSIBLE_CONFIG=str(tmp_path / "evil.cfg"), ANSIBLE_STRATEGY="no.such.strategy")
    assert (ended["reason"], ended["rc"]) == ("finished", 0)


@pytest.mark.slow
def test_no_secret_of_the_environment_is_left_in_the_folder_of_a_run(drive: Drive, tmp_path: Path) -> None:
    told = drive(shell('test -n "$AWS_SECRET_ACCESS_KEY"'), AWS_SECRET_ACCESS_KEY="s3cr3t-k3y")
    assert (told["reason"], told["rc"]) == ("finished", 0)
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert [file for file in files if b"s3cr3t-k3y" in file.read_bytes()] == [] != files


def test_what_emptied_its_environment_and_lost_its_driver_is_found_by_its_control_group(tmp_path: Path) -> None:
    with group(f"probe-{os.getpid()}") as place:
        if place is None:
            pytest.skip("no control group of version 2 can be made here (root, or systemd with Delegate=yes)")
    (tmp_path / "policy.yml").write_text("profile: homelab\n")
    (tmp_path / "book").mkdir()
    task = shell(ELSEWHERE["an orphan, its environment emptied"])
    play = {"hosts": "localhost", "gather_facts": False, "vars": {"here": str(tmp_path)}, "tasks": [task]}
    (tmp_path / "book" / "runbook.yml").write_text(yaml.safe_dump([play]))
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), "", "60"], env={**os.environ, "HOME": str(tmp_path)}
    )
    try:
        until = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < until, "the task never started"
            time.sleep(0.05)
        driver.kill()
        driver.wait()
        [lost] = _survivors(tmp_path)
        assert lost.environ().get(MARK) is None
        proof = end(f"run-{driver.pid}")
        assert lost.pid in {info.pid for info in proof.ended} and proof.left == ()
        assert _survivors(tmp_path) == []
    finally:
        driver.kill()
        end(f"run-{driver.pid}")
        for process in _survivors(tmp_path):
            process.kill()
