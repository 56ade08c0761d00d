"""How long it takes from an emergency stop to the proof that nothing runs any more."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bypass.world import World, world
from sqlalchemy import update

from bench.figures import Figure, percentile
from bench.runners import driven
from sre_responder.ledger import runs
from sre_responder.ledger.schema import stops
from sre_responder.system.prove import processes_of

ROUNDS = 100
HOW = """\
`responder run` is in the middle of a task that sleeps for ten minutes; `responder stop` raises a stop and returns
with the proof. Measured is what the command says itself, from the stop on the record to the proof, and the whole
command as a person at a terminal waits for it, the start of Python included. After each stop this program looks
itself whether a process of the run is left."""

SLEEP = "sleep 600"


def measure(rounds: int) -> Iterator[Figure]:
    proven, whole, left = [], [], 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as here:
        here.write(lambda play: play["tasks"].insert(0, {"name": "Sleep", "ansible.builtin.command": SLEEP}))
        for _ in range(rounds):
            with _sleeping(here) as run:
                began = time.perf_counter()
                told = here.responder("stop", "to be measured", "--json")
                whole.append(time.perf_counter() - began)
                left += bool(processes_of(run)) or told.returncode != 0
                proven.append(json.loads(told.stdout)["seconds"])
            _lift(here)
    yield Figure("stops after which something of the run was left", left, f"of {rounds}", "= 0")
    for name, seconds, goal in (("raised to proven", proven, "< 1"), ("the whole command", whole, None)):
        yield Figure(f"{name}, p50", percentile(seconds, 0.5), "s")
        yield Figure(f"{name}, p99", percentile(seconds, 0.99), "s", goal)
        yield Figure(f"{name}, max", max(seconds), "s")


@contextmanager
def _sleeping(here: World) -> Iterator[str]:
    """A run in the middle of its sleep."""
    process = driven(here).start()
    try:
        yield _once(lambda: next((run for run in _standing(here) if _sleeps(run)), None))
    finally:
        process.wait()


def _standing(here: World) -> list[str]:
    with here.ledger.transaction(reading=True) as connection:
        return [row.id for row in runs.standing(connection)]


def _sleeps(run: str) -> bool:
    return any(process.command == SLEEP for process in processes_of(run))


def _once(look: Callable[[], str | None]) -> str:
    """What `look` gives, once it gives something."""
    until = time.monotonic() + 60
    while (found := look()) is None:
        if time.monotonic() > until:
            raise AssertionError("the run did not come to its sleep")
        time.sleep(0.05)
    return found


def _lift(here: World) -> None:
    """By hand: to lift it as a person does is not what is measured."""
    with here.ledger.transaction() as connection:
        connection.execute(update(stops).values(lifted_at=here.ledger.now(connection), lifted_by="bench"))
