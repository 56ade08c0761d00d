"""A process by number, start and space: no clock and no other namespace makes one that lives count as dead."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from sre_responder.system import process

HERE = process.space()
MACHINE, BOOT, PIDS, TIME = HERE.split("/")


def test_a_step_of_the_clock_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    since = process.started(os.getpid())
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1.0)
    assert process.started(os.getpid()) == since
    assert process.alive(os.getpid(), since, HERE) is True


def test_the_number_of_a_dead_process_given_to_another_is_not_taken_for_it() -> None:
    assert process.alive(os.getpid(), process.started(os.getpid()) + 1, HERE) is False


def test_a_process_that_was_killed_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        since = process.started(child.pid)
        child.kill()
    assert process.alive(child.pid, since, HERE) is False


OTHERS = {
    "a ledger of before": ("", None),
    "another PID namespace of this boot": (f"{MACHINE}/{BOOT}/pid:[7]/{TIME}", None),
    "another time namespace of this boot": (f"{MACHINE}/{BOOT}/{PIDS}/time:[7]", None),
    "another machine of the same name": (f"other/other/{process._INITIAL}/{TIME}", None),
    "a container of an earlier boot": (f"{MACHINE}/other/pid:[7]/{TIME}", None),
    "what is no space": ("x", None),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_not_visible_from_here_is_not_proven(case: str) -> None:
    where, said = OTHERS[case]
    assert process.alive(os.getpid(), process.started(os.getpid()), where) is said
    assert process.alive(2**22 + 1, 1.0, where) is said


def test_what_this_machine_ran_before_it_was_started_again_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "space", lambda: f"m/now/{process._INITIAL}/{TIME}")
    assert process.alive(os.getpid(), 1.0, f"m/before/{process._INITIAL}/{TIME}") is False


def test_a_process_that_proc_hides_is_not_proven_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(process, "PROC", tmp_path)
    monkeypatch.setattr(process, "space", lambda: HERE)
    assert process.alive(os.getpid(), 1.0, HERE) is None
