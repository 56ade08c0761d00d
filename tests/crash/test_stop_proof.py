"""`responder stop` in the middle of whatever a driver may be in the middle of: what it ends, by /proc, and what it names as not ended."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from bypass.slow import HISTORY, waits
from bypass.world import Play, World
from crash.at import BAD, MODULE, ended, eventually, frozen, living, one_step, rows, stories

from sre_responder.drive.group import group
from sre_responder.ledger import schema
from sre_responder.system.prove import processes_of

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]
Noted = Callable[[], list[int]]
Task = dict[str, Any]
NOTE = "echo $$ >>pids\nexec sleep 600\n"
"""The script `note`: a process that notes its number and stays."""


def shell(script: str) -> Task:
    """A task that only reads, as lint demands of a run; the interpreter that its host names for it does the rest."""
    return {"name": "Wait", "ansible.builtin.ping": {}, "vars": {"script": script}}


with group(f"probe-{os.getpid()}") as place:
    GROUPS = place is not None
"""Whether a driver can make control groups here."""
TASKS: dict[str, Task] = {
    "a command that sleeps": shell("exec sh note"),
    "a module that waits": {"name": "Wait", "ansible.builtin.wait_for": {"path": "/nowhere", "timeout": 600}},
    "a wait between retries": {**shell("echo $$ >>pids; exit 1"), "until": False, "retries": 2, "delay": 600},
    "a task that ignores SIGTERM": shell("trap '' TERM; sh note"),
    "a task that left its session": shell("setsid sh note"),
    "a task that left a daemon": shell("(setsid sh note >/dev/null 2>&1 &); exec sleep 600"),
    "a daemon without its environment": shell("(env -i PATH=$PATH setsid sh note >/dev/null 2>&1 &); exec sleep 600"),
}
QUIET = ("a module that waits",)
"""Tasks that note no process: their worker and module are found by the mark of the run."""


@pytest.fixture
def noted(world: World) -> Iterator[Noted]:
    """`noted()` gives the processes that noted themselves; what lives of them when the test is over is ended."""

    def read() -> list[int]:
        path = world.root / "pids"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    yield read
    for pid in living(read()):
        os.kill(pid, signal.SIGKILL)


def waiting(world: World, start: Start, case: str, noted: Noted) -> tuple[subprocess.Popen[str], set[int]]:
    """A run that is in the middle of that task, and every process of it that can be seen."""
    (world.root / "note").write_text(NOTE)
    interpreter = world.root / "interpreter"
    task = {**TASKS[case]}
    if script := task.pop("vars", {}).get("script"):
        interpreter.write_text(f"#!/bin/sh\ncd '{world.root}'\n{script}\n")
        interpreter.chmod(0o755)

    def only_that(play: Play) -> None:
        play["tasks"] = [task]
        if script:
            play["vars"]["ansible_python_interpreter"] = str(interpreter)

    world.write(only_that)
    run = start()
    eventually(lambda: any("TASK [Wait]" in path.read_text() for path in stories(world)), "the task does not begin")
    eventually(lambda: case in QUIET or noted(), "nothing of the task lives")
    return run, {*noted(), *marked(world)}


def marked(world: World) -> list[int]:
    return [process.pid for run in rows(world, schema.runs) for process in processes_of(run.id)]


def stop(world: World) -> tuple[int, dict[str, Any]]:
    done = world.responder("stop", "the database is being moved", "--json")
    return done.returncode, json.loads(done.stdout)


def pids(said: list[str]) -> set[int]:
    """The processes that a list of sentences names."""
    return {int(words.split()[1]) for words in said if words.startswith("pid ")}


@pytest.mark.parametrize("case", TASKS)
def test_stop_ends_a_run_in_the_middle_of_a_task(world: World, start: Start, noted: Noted, case: str) -> None:
    run, seen = waiting(world, start, case, noted)
    code, told = stop(world)
    assert living([*seen, *noted()]) == marked(world) == []
    assert (code, told["left"]) == (0, [])
    assert f"run {rows(world, schema.runs)[0].id}" in told["ended"]
    assert run.wait(30) == 4


LEFT = ("a command that sleeps", "a task that ignores SIGTERM", "a task that left a daemon")


@pytest.mark.parametrize("case", LEFT)
def test_stop_ends_what_a_killed_driver_left(world: World, start: Start, noted: Noted, case: str) -> None:
    run, seen = waiting(world, start, case, noted)
    run.kill()
    run.wait(30)
    assert living(seen) != []
    _, told = stop(world)
    assert living([*seen, *noted()]) == marked(world) == []
    assert pids(told["left"]) == set()


def test_stop_claims_no_proof_where_a_killed_driver_left_what_bears_no_mark(
    world: World, start: Start, noted: Noted
) -> None:
    """Without a control group nothing ties it to the run any more. That the driver is dead and this unproven can be said."""
    run, _ = waiting(world, start, "a daemon without its environment", noted)
    run.kill()
    run.wait(30)
    code, told = stop(world)
    if GROUPS:
        assert (living(noted()), marked(world)) == ([], [])
        assert set(noted()) <= pids(told["ended"])
        return
    assert living(noted()) == noted()
    assert code == 4
    assert rows(world, schema.runs)[0].id in " ".join(told["left"])


@pytest.mark.parametrize("case", ["a command that sleeps", "a daemon without its environment"])
def test_stop_names_a_driver_that_sleeps_and_what_it_cannot_tie_to_the_run(
    world: World, start: Start, noted: Noted, case: str
) -> None:
    run, seen = waiting(world, start, case, noted)
    driver = psutil.Process(run.pid)
    driver.suspend()
    code, told = stop(world)
    assert code == 4
    assert run.pid in pids(told["left"])
    unmarked = case == "a daemon without its environment" and not GROUPS
    assert living(noted()) == (noted() if unmarked else [])
    assert set(living(seen)) - {run.pid} <= pids(told["left"])
    assert marked(world) == []
    driver.resume()
    assert run.wait(30) == 4
    assert living([*seen, *noted()]) == []


@pytest.fixture
def cache() -> Iterator[tuple[str, threading.Event]]:
    """A cache that is asked to purge and does not answer; the event tells that it was asked."""
    asked, over = threading.Event(), threading.Event()

    class Cache(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_PURGE(self) -> None:
            asked.set()
            over.wait(60)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cache)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("driver", ["lives", "was killed"])
def test_stop_ends_a_local_effect_and_its_target_is_frozen(
    world: World, start: Start, cache: tuple[str, threading.Event], driver: str
) -> None:
    url, asked = cache

    def purging(play: Play) -> None:
        one_step(play)
        given = play["tasks"][1].pop(MODULE)
        del given["to"]
        play["tasks"][1]["sre.responder.http_cache_purge"] = {**given, "url": url, "timeout_s": 60}

    world.write(purging)
    run = start()
    assert asked.wait(60)
    seen = marked(world)
    if driver == "was killed":
        run.kill()
    _, told = stop(world)
    assert living(seen) == marked(world) == []
    assert pids(told["left"]) == set()
    ended(world)
    assert frozen(world) == [f"http_cache:{url}"]
    assert run.wait(30) == (-signal.SIGKILL if driver == "was killed" else 4)


def opened(pipe: Path) -> int:
    """The pipe's end to write to, once somebody reads it."""

    def attempt() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO  # nobody reads it yet
            return None

    return eventually(attempt, "nobody reads the pipe")


@pytest.mark.parametrize("driver", ["lives", "was killed"])
def test_stop_ends_a_module_in_its_effect_and_its_target_is_frozen(world: World, start: Start, driver: str) -> None:
    """The module waits for a pipe that nobody writes: first to plan, then to act."""
    history = world.root / "history"
    os.mkfifo(history)

    def from_pipe(play: Play) -> None:
        one_step(play)
        waits(world, play)

    world.write(from_pipe)
    run = start()
    pipe = opened(history)
    os.write(pipe, HISTORY)
    os.close(pipe)
    eventually(world.started, "no action is started")
    pipe = opened(history)
    seen = marked(world)
    if driver == "was killed":
        run.kill()
    _, told = stop(world)
    assert living(seen) == marked(world) == []
    assert pids(told["left"]) == set()
    with pytest.raises(BrokenPipeError):  # nobody reads any more what the module waited for
        os.write(pipe, HISTORY)
    os.close(pipe)
    ended(world)
    assert (world.release, len(frozen(world))) == (BAD, 1)
    assert run.wait(30) == (-signal.SIGKILL if driver == "was killed" else 4)
