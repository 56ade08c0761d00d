"""One crash in the small world of the bypass tests: what it left, what the probe says of it, and how the next run goes on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil
from bypass.world import DRIVEN, World, world
from crash.inside.sitecustomize import VARIABLE
from sqlalchemy import Row, Table, select

from sre_responder.ledger import Ledger, attempts, audit, schema
from sre_responder.ledger.runs import alive
from sre_responder.system.prove import marked, processes_of

VICTIMS = ("worker", "play", "driver", "everything")
BAD, GOOD = "2", "1"
MODULE = "sre.responder.release_rollback"
INSIDE = Path(__file__).with_name("inside")
Found = TypeVar("Found")


def living(pids: Iterable[int]) -> list[int]:
    """Which of these are processes still; a zombie is not."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


@contextmanager
def ill(root: Path, **changes: Any) -> Iterator[World]:
    """A world whose service is well under one release alone; its scope is known."""
    with world(root, **changes) as here:
        here.heals(GOOD)
        with here.ledger.transaction() as connection:
            now = here.ledger.now(connection)
            audit.append(connection, now, "scope.identified", "test", "seen", incident="INC-1234")
        here.write(partial(reached, here))
        yield here


def reached(here: World, play: dict[str, Any]) -> None:
    """One step, whose module too is reached by what befalls the run: it starts without the PYTHON variables of its surroundings."""
    one_step(play)
    python = here.root / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={INSIDE} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    play["vars"]["ansible_python_interpreter"] = str(python)


def one_step(play: dict[str, Any]) -> None:
    """Two samples of evidence, so that there is a moment between them."""
    play["vars"]["runbook"]["success"]["minimum_samples"] = 2


def befalls(victim: str, point: str, mark: Path, deed: str = "kill") -> dict[str, str]:
    """The surroundings of a run in which the deed is done to the victim at that point; then the mark is there."""
    told = {"point": point, "victim": victim, "deed": deed, "mark": str(mark)}
    return {"PYTHONPATH": str(INSIDE), VARIABLE: json.dumps(told)}


@contextmanager
def running(world: World, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A driven run that goes on beside the test; afterwards nothing of it is left."""
    command = [str(Path(sys.executable).parent / "responder"), *DRIVEN]
    run = subprocess.Popen(
        command, env={**world.environ, **environ}, cwd=world.root, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.kill()
        for process in [process for row in rows(world, schema.runs) for process in marked(row.id)]:
            process.kill()
        run.communicate()


def eventually(look: Callable[[], Found | None], otherwise: str) -> Found:
    """What `look` gives, once it gives something."""
    until = time.monotonic() + 300
    while not (found := look()):
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)
    return found


class Recorded(Protocol):
    """Whatever keeps a record: the small world, and the lab."""

    @property
    def ledger(self) -> Ledger: ...


def rows(here: Recorded, table: Table) -> Sequence[Row[Any]]:
    with here.ledger.transaction(reading=True) as connection:
        return connection.execute(select(table)).all()


def ended(here: Recorded) -> None:
    """Wait until nothing of any run lives, nobody who holds a lease either; then bury the dead, as every command does first."""

    def over() -> bool:
        holders = [json.loads(row.holder) for row in rows(here, schema.leases)]
        living = [run for run in rows(here, schema.runs) if processes_of(run.id)]
        return not living and not any(alive(**who) for who in holders)  # who dies has lost his mark a moment before

    eventually(over, "a run goes on")
    with here.ledger.transaction() as connection:
        attempts.reap(connection, here.ledger.now(connection))


def stories(world: World) -> list[Path]:
    """What Ansible wrote of each driven run."""
    return sorted((world.home.state / "runs").glob("*/artifacts/run/stdout"))


def frozen(here: Recorded) -> list[str]:
    with here.ledger.transaction(reading=True) as connection:
        return [row.target for row in attempts.unknown(connection)]


@dataclass(frozen=True)
class Aftermath:
    """What one crash came to, seen on the disk, in the ledger and by the commands that follow it."""

    reached: bool
    code: int
    """How the run ended that was crashed, as its caller saw it."""
    said: str
    """What it said to its caller, and Ansible in the run's folder."""
    release: str
    """What is on the disk once the last process of that run is gone."""
    intents: int
    attempts: int
    started: int
    outcomes: tuple[str | None, ...]
    held: int
    frozen: tuple[str, ...]
    settled: str | None
    """What the probe says of what is frozen."""
    frozen_then: tuple[str, ...]
    code_then: int
    """How the next run of the same runbook ended."""
    release_then: str
    counted: int
    """The attempts that count for the incident at the end of it all; the disk was changed once."""
    whole: bool
    target: str

    @property
    def unknown(self) -> bool:
        return "unknown" in self.outcomes

    @property
    def broken(self) -> list[str]:
        """The promises that this crash broke."""
        return [promise for promise, kept in PROMISES.items() if not kept(self)]


PROMISES: dict[str, Callable[[Aftermath], bool]] = {
    "the point is reached": lambda a: a.reached,
    "what is changed on the disk has its intent on the record": lambda a: a.release == BAD or a.intents == 1,
    "an intent, its attempt and its entry are there together or not at all": lambda a: (
        a.intents == a.attempts == a.started <= 1
    ),
    "every attempt has an outcome once its process is gone": lambda a: None not in a.outcomes,
    "no lease outlives its holder": lambda a: a.held == 0,
    "an unknown outcome freezes its target and nothing else": lambda a: a.frozen == (a.target,) * a.unknown,
    "the probe says what the disk says": lambda a: (
        a.settled == (("done" if a.release == GOOD else "not_done") if a.unknown else None)
    ),
    "what was settled is free": lambda a: not a.frozen_then,
    "the next run goes on to its end": lambda a: (a.code_then, a.release_then) == (0, GOOD),
    "one change counts once": lambda a: a.counted == 1,
    "the record is whole": lambda a: a.whole,
}


def crash(root: Path, point: str, victim: str, deed: str = "kill") -> Aftermath:
    """Do the deed to the victim at the point, and then what an operator would."""
    with ill(root) as here:
        mark = root / "reached"
        crashed = here.drive(**befalls(victim, point, mark, deed))
        ended(here)
        made, target = rows(here, schema.attempts), f"{socket.gethostname()}:release:{root / 'app'}"
        left: dict[str, Any] = {
            "reached": mark.exists(),
            "code": crashed.returncode,
            "said": crashed.stdout + crashed.stderr + "".join(path.read_text() for path in stories(here)),
            "release": here.release,
            "intents": len(rows(here, schema.effects)),
            "attempts": len(made),
            "started": here.started(),
            "outcomes": tuple(row.outcome for row in made),
            "held": len(rows(here, schema.leases)),
            "frozen": tuple(frozen(here)),
        }
        settled = [json.loads(here.responder("settle", one, "--json").stdout) for one in left["frozen"]]
        then = here.drive()
        with here.ledger.transaction(reading=True) as connection:
            counted = attempts.of_incident(connection, "INC-1234")
        return Aftermath(
            **left, target=target,
            settled=settled[0].get("became", settled[0].get("error")) if settled else None,
            frozen_then=tuple(frozen(here)), code_then=then.returncode, release_then=here.release,
            counted=len(counted), whole=audit.verify(here.ledger).ok,
        )  # fmt: skip
