"""What `responder stop` and `status` say when a driver, a play or a worker was killed, the ledger is locked, or nobody answers."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.slow import HISTORY, _opened, acting, slow, waits
from bypass.world import DRIVEN, Play, World
from crash.at import BAD, eventually, frozen, living, one_step, rows
from sqlalchemy import update

from sre_responder.ledger import schema
from sre_responder.system.prove import marked, processes_of

pytestmark = pytest.mark.slow
Start = Callable[..., subprocess.Popen[str]]


def stop(world: World, *words: str, **environ: str) -> tuple[int, dict[str, Any]]:
    done = world.responder("stop", "the database is being moved", "--json", *words, **environ)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def begun(world: World, start: Start) -> subprocess.Popen[str]:
    """A driven run whose module waits for its history before it acts."""
    os.mkfifo(world.root / "history")

    def waiting(play: Play) -> None:
        one_step(play)
        waits(world, play)

    world.write(waiting)
    return start()


def in_effect(world: World, start: Start) -> subprocess.Popen[str]:
    """A driven run whose module waits in its effect."""
    run = begun(world, start)
    write(world)
    eventually(world.started, "no action is started")
    PIPES.append(
        eventually(lambda: _opened(world.root / "history"), "nobody waits")
    )  # closed, it would let the module begin
    return run


PIPES: list[int] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while PIPES:
        os.close(PIPES.pop())


def write(world: World) -> None:
    pipe = eventually(lambda: _opened(world.root / "history"), "nobody waits")
    os.write(pipe, HISTORY)
    os.close(pipe)


@pytest.fixture
def plays(world: World) -> Iterator[Callable[[], list[int]]]:
    """`plays()` are the processes of plain plays of this world; they are gone when the test is over."""

    def found() -> list[int]:
        words = str(world.root).encode()
        pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and int(one.name) != os.getpid()]
        return living([pid for pid in pids if words in read(pid, "cmdline")])

    yield found
    for pid in found():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def test_status_ends_no_run_of_which_a_process_lives_and_the_stop_after_it_ends_that(
    world: World, start: Start
) -> None:
    run = in_effect(world, start)
    [row] = rows(world, schema.runs)
    run.kill()
    run.wait(30)
    seen = [process.pid for process in processes_of(row.id)]
    assert len(seen) > 1
    assert row.id not in world.responder("status").stderr
    assert rows(world, schema.runs)[0].ending is None
    _, told = stop(world)
    assert living(seen) == marked(row.id) == []
    assert {f"pid {pid}" for pid in seen} <= {" ".join(words.split()[:2]) for words in told["ended"]}
    assert (world.release, rows(world, schema.runs)[0].ending) == (BAD, "stopped")


def test_a_run_that_the_record_calls_ended_is_ended_by_stop_if_it_lives(world: World, start: Start) -> None:
    run = in_effect(world, start)
    [row] = rows(world, schema.runs)
    run.kill()
    run.wait(30)
    with world.ledger.transaction() as connection:
        connection.execute(update(schema.runs).values(ended_at=1.0, ending="died"))
    seen = [process.pid for process in processes_of(row.id)]
    _, told = stop(world)
    assert living(seen) == []
    assert f"run {row.id}" in told["ended"]
    assert world.release == BAD


def test_a_worker_of_a_killed_play_is_ended_by_its_lease(world: World, plays: Callable[[], list[int]]) -> None:
    with slow(world) as run, acting(world):
        [row] = rows(world, schema.runs)
        assert row.pid == run.pid
        run.kill()
        run.wait()
        assert plays() != []
        world.responder("status")
        assert rows(world, schema.runs)[0].ending is None
        _, told = stop(world)
        assert plays() == []
        assert told["ended"] != []
    assert world.release == BAD


def test_a_worker_whose_play_was_killed_at_the_fork_takes_nobody_else_for_it(
    world: World, plays: Callable[[], list[int]]
) -> None:
    """The worker sleeps as soon as it is forked, its play is killed, and it wakes as the child of another process."""
    late = world.root / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import multiprocessing.process as m, os, time\n"
        "old = m.BaseProcess._bootstrap\n"
        "def slow(self, *a, **k):\n"
        f"    if type(self).__name__ == 'WorkerProcess' and 'Roll back' in str(self._task):\n"
        f"        open({str(world.root / 'forked')!r}, 'w').write(str(os.getpid()))\n"
        f"        while not os.path.exists({str(world.root / 'wake')!r}): time.sleep(0.02)\n"
        "    return old(self, *a, **k)\n"
        "m.BaseProcess._bootstrap = slow\n"
    )
    run = subprocess.Popen(
        world.command(), env={**world.environ, "PYTHONPATH": str(late)}, cwd=world.root,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    worker = int(eventually(lambda: _text(world.root / "forked"), "no worker is forked"))
    run.kill()
    run.wait()
    (world.root / "wake").touch()
    eventually(lambda: not living([worker]), "the worker goes on")
    assert (world.release, world.started(), rows(world, schema.runs)) == (BAD, 0, [])
    assert stop(world)[0] == 0


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_run_recorded_with_the_first_process_or_with_what_is_no_play_is_named_and_not_signalled(
    world: World, start: Start
) -> None:
    from sre_responder.ledger import runs
    from sre_responder.system import process

    with subprocess.Popen(["sleep", "600"]) as innocent:
        try:
            with world.ledger.transaction() as connection:
                for name, pid in (("ansible-1-x", 1), ("ansible-2-x", innocent.pid), ("ansible-3-x", os.getpid())):
                    runs.begin(connection, 1.0, name, pid=pid, driven=False, requester="rosa", environment="staging")
            code, told = stop(world)
            assert code == 4
            assert innocent.poll() is None
            assert process.alive(1, process.started(1), process.space())
            named = {int(words.split()[1]) for words in told["left"] if words.startswith("pid")}
            assert {1, innocent.pid, os.getpid()} <= named
        finally:
            innocent.kill()


def test_a_locked_ledger_holds_no_stop_back(world: World, start: Start) -> None:
    run = in_effect(world, start)
    [row] = rows(world, schema.runs)
    seen = [process.pid for process in processes_of(row.id)]
    with closing(sqlite3.connect(str(world.ledger.path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, told = stop(world)
        other.execute("ROLLBACK")
    assert living(seen) == []
    assert (code, (world.root / "stop" / "EMERGENCY_STOP").exists()) == (4, True)
    assert "locked" in " ".join(told["left"])
    run.wait(60)
    assert world.release == BAD
    assert world.drive().returncode == 4


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_gets_a_signal_ends_itself_with_proof_and_on_the_record(
    world: World, start: Start, name: str
) -> None:
    run = in_effect(world, start)
    [row] = rows(world, schema.runs)
    seen = [process.pid for process in processes_of(row.id)]
    run.send_signal(getattr(signal, name))
    said = run.communicate(timeout=30)[0]
    assert living(seen) == marked(row.id) == []
    assert (world.release, len(frozen(world))) == (BAD, 1)
    [row] = rows(world, schema.runs)
    assert (run.returncode, row.ending) == (5, "unknown"), said
    assert name in said and "responder status" in said
    assert "Traceback" not in said


def test_a_run_that_is_interrupted_before_it_acts_says_so(world: World, start: Start) -> None:
    run = begun(world, start)
    pipe = eventually(lambda: _opened(world.root / "history"), "nobody waits")
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=30)[0]
    os.close(pipe)
    assert (run.returncode, rows(world, schema.runs)[0].ending) == (1, "interrupted"), said
    assert "responder run roll-back --incident INC-1234" in said
    assert world.started() == 0


def test_a_closed_terminal_ends_a_run_on_the_record(world: World) -> None:
    os.mkfifo(world.root / "history")

    def waiting(play: Play) -> None:
        one_step(play)
        waits(world, play)

    world.write(waiting)
    child, terminal = pty.fork()
    if not child:
        os.chdir(world.root)
        os.execve(Path(sys.executable).parent / "responder", ["responder", *DRIVEN], world.environ)
    pipe = eventually(lambda: _opened(world.root / "history"), "nobody waits")
    [row] = rows(world, schema.runs)
    os.close(terminal)
    try:
        eventually(lambda: rows(world, schema.runs)[0].ending, "the run has no end")
        assert rows(world, schema.runs)[0].ending == "interrupted"
        assert marked(row.id) == []
    finally:
        os.close(pipe)
        for process in marked(row.id):
            process.kill()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_stop_waits_for_no_receiver(world: World) -> None:
    """The receiver's address takes connections and answers nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as dead:
        policy = yaml.safe_load((world.home.folder / "policy.yml").read_text())
        url = f"http://127.0.0.1:{dead.getsockname()[1]}/"
        policy["notifications"] = [{"kind": "webhook", "url": url}]
        (world.home.folder / "policy.yml").write_text(yaml.safe_dump(policy))
        began = time.monotonic()
        code, told = stop(world)
        assert (code, told["left"]) == (0, [])
        assert told["seconds"] < 1
        assert time.monotonic() - began < 5, "the process waits for the receiver"


def test_a_driver_elsewhere_acknowledges_a_stop_in_the_ledger(world: World, start: Start) -> None:
    run = in_effect(world, start)
    with world.ledger.transaction() as connection:
        connection.execute(update(schema.runs).values(machine="elsewhere", space="elsewhere"))
        connection.execute(
            update(schema.leases).values(holder=json.dumps({"machine": "elsewhere", "pid": 1, "started": 0.0}))
        )
    [row] = rows(world, schema.runs)
    code, told = stop(world, RESPONDER_RUN_SEEN="no")
    assert (code, told["left"]) == (0, [])
    assert f"run {row.id} on elsewhere (pid {run.pid}): its driver proved it" in told["ended"]


def test_a_run_elsewhere_whose_driver_says_nothing_is_not_proven(world: World) -> None:
    from sre_responder.ledger import runs

    with world.ledger.transaction() as connection:
        runs.begin(connection, 1.0, "run-0123", driven=True, requester="rosa", environment="staging")
        connection.execute(update(schema.runs).values(machine="elsewhere", space="elsewhere"))
    code, told = stop(world)
    assert code == 4
    assert "not proven" in " ".join(told["left"])
    assert rows(world, schema.runs)[0].ending is None


@pytest.mark.parametrize(("mark", "ends"), [("run-0123456789ab", True), ("lab-0123456789ab", False)])
def test_a_mark_that_the_ledger_does_not_know_is_ended_if_it_is_a_runs_and_no_labs(
    world: World, mark: str, ends: bool
) -> None:
    """A lab bears its mark as a run does, and its ledger's address too when that was exported before it was started."""
    environ = {**world.environ, "RESPONDER_RUN": mark}
    with subprocess.Popen(["sleep", "60"], env=environ) as process:
        try:
            stop(world)
            assert (process.poll() is not None) is ends
        finally:
            process.kill()


def test_from_another_pid_namespace_nothing_counts_as_ended(world: World, start: Start) -> None:
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespace can be made here")
    run = in_effect(world, start)
    responder = str(Path(sys.executable).parent / "responder")
    status = world._run([*inside, responder, "status"], {})
    assert status.returncode == 0, status.stderr
    assert (rows(world, schema.runs)[0].ending, len(rows(world, schema.leases))) == (None, 1)
    run.send_signal(signal.SIGSTOP)  # a driver that cannot acknowledge
    done = world._run([*inside, responder, "stop", "hold", "--json"], {})
    assert done.returncode == 4
    assert "not proven" in done.stdout
    assert (rows(world, schema.runs)[0].ending, len(rows(world, schema.leases))) == (None, 1)
    run.send_signal(signal.SIGCONT)
    assert run.wait(30) == 4
