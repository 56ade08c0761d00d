"""Ending processes: real ones that resist in every way that real ones do, and proof that none is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from sre_responder.system import process as processes
from sre_responder.system.process import alive, space
from sre_responder.system.prove import MARK, Proof, end, end_tree, marked, processes_of

WAIT = "import os, signal, sys, time\ndef wait():\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"
RESISTING = {
    "one that goes when asked": "wait()",
    "one that ignores SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN); wait()",
    "one that left its parent, session and group": "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); wait()",
    "one that forks while it is being ended": (
        "def fork(*_):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    os.fork() and os._exit(0)\n"
        "    os.setsid()\n"
        "signal.signal(signal.SIGTERM, fork)\n"
        "print(os.getpid(), flush=True)\n"
        "while True: time.sleep(600)"
    ),
    "one with a child that ignores SIGTERM": (
        "read, write = os.pipe()\n"
        "if os.fork():\n"
        "    os.read(read, 1)\n"
        "    wait()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.write(write, b'x')\n"
        "time.sleep(600)"
    ),
    "one that is stopped": "print(os.getpid(), flush=True); os.kill(os.getpid(), signal.SIGSTOP)",
}
Start = Callable[..., psutil.Process]


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """The name of a run that no other test has."""
    return f"run-{os.getpid()}-{abs(hash(request.node.nodeid))}"


@pytest.fixture
def start(run: str) -> Iterator[Start]:
    """`start(CODE)` is the process in which the code waits, under the mark of the run; whatever happens, it is gone afterwards."""
    started: list[subprocess.Popen[str]] = []
    seen: list[psutil.Process] = []

    def waiting(code: str, mark: str | None = run) -> psutil.Process:
        environ = {name: value for name, value in os.environ.items() if name != MARK} | ({MARK: mark} if mark else {})
        process = subprocess.Popen(
            [sys.executable, "-c", WAIT + code],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        assert process.stdout is not None
        seen.append(psutil.Process(int(process.stdout.readline())))
        return seen[-1]

    yield waiting
    for process in [*marked(run), *seen, *(psutil.Process(p.pid) for p in started if p.poll() is None)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for popen in started:
        assert popen.stdout is not None
        popen.stdout.close()
        popen.wait()


@pytest.mark.parametrize("case", RESISTING)
def test_a_process_of_the_run_is_ended_and_its_end_is_proven(run: str, start: Start, case: str) -> None:
    process = start(RESISTING[case])
    started = processes.started(process.pid)
    proof = end(run, grace_s=0.2)
    assert proof.left == ()
    assert process.pid in {info.pid for info in proof.ended}
    assert alive(process.pid, started, space()) is False
    assert processes_of(run) == []


def test_a_run_without_processes_is_ended_already(run: str) -> None:
    assert end(run) == Proof((), ())


def test_processes_of_another_run_are_left_alone(run: str, start: Start) -> None:
    other, unmarked = start("wait()", f"{run}0"), start("wait()", None)
    assert end(run, grace_s=0.2) == Proof((), ())
    assert other.is_running() and unmarked.is_running()
    assert end(f"{run}0", grace_s=0.2).left == ()


def test_a_process_is_named_by_pid_start_command_and_user(run: str, start: Start) -> None:
    process = start("wait()")
    [info] = processes_of(run)
    assert (info.pid, info.started, info.user) == (process.pid, process.create_time(), process.username())
    assert info.command.startswith(sys.executable)


def test_a_process_never_finds_itself(run: str) -> None:
    code = f"from sre_responder.system.prove import marked; print(marked({run!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, MARK: run}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_what_cannot_be_ended_is_named(run: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start("wait()")

    def refused(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    with monkeypatch.context() as patch:
        patch.setattr(psutil.Process, "terminate", refused)
        patch.setattr(psutil.Process, "kill", refused)
        proof = end(run, grace_s=0.0)
    assert (proof.ended, [info.pid for info in proof.left]) == ((), [process.pid])
    assert process.is_running()


@pytest.mark.parametrize("case", [case for case in RESISTING if case != "one that left its parent, session and group"])
def test_a_process_without_a_mark_is_ended_with_all_below_it(start: Start, case: str) -> None:
    process = start(RESISTING[case], None)
    below = process.children(recursive=True)
    proof = end_tree(process.pid, processes.started(process.pid), grace_s=0.2)
    assert proof.left == ()
    assert {process.pid, *(child.pid for child in below)} <= {info.pid for info in proof.ended}
    assert [one.pid for one in (process, *below) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_another_process_that_has_the_number_now_is_left_alone(start: Start) -> None:
    process = start("wait()", None)
    assert end_tree(process.pid, processes.started(process.pid) - 60, grace_s=0.2) == Proof((), ())
    assert process.is_running()


def test_a_process_that_ended_and_was_not_collected_lives_no_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = processes.started(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert alive(process.pid, started, space()) is False
    process.wait()
    assert alive(process.pid, started, space()) is False
