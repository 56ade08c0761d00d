"""A process that slept past its lease: nobody takes its target by the clock, and it does not act once another took over."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
from bypass.world import Play, World
from crash.at import BAD, GOOD, MODULE, befalls, eventually, frozen, one_step, rows
from sqlalchemy import update

from sre_responder.ledger import attempts, audit, schema
from sre_responder.model.plan import canonical
from sre_responder.system.prove import marked

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]
SHORT = {"lease": {"seconds": 0.05}}
FROZEN = ("worker", "everything")
short_lease = pytest.mark.parametrize("world", [SHORT], indirect=True, ids=["short lease"])
whoever = pytest.mark.parametrize("victim", FROZEN)


def sleeps(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return False


def asleep(world: World, start: Start, victim: str, point: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run whose victim was stopped at that point; and who sleeps."""
    run = start(**befalls(victim, point, world.root / "reached", "stop"))
    eventually((world.root / "reached").exists, f"the run never came to: {point}")

    def sleeping() -> list[psutil.Process]:
        line = [psutil.Process(run.pid), *(p for row in rows(world, schema.runs) for p in marked(row.id))]
        found = [process for process in line if sleeps(process)]
        return found if len(found) >= (3 if victim == "everything" else 1) else []

    return run, eventually(sleeping, "nobody sleeps")


def wake(run: subprocess.Popen[str], sleeping: list[psutil.Process]) -> str:
    """Let them go on to the end of the run; gives what it said."""
    for process in sleeping:
        process.send_signal(signal.SIGCONT)
    return run.communicate(timeout=60)[0]


def lease_ran_out(world: World) -> None:
    def over() -> bool:
        with world.ledger.transaction(reading=True) as connection:
            return all(row.expires_at < world.ledger.now(connection) for row in attempts.held(connection))

    eventually(over, "the lease does not run out")


def on_another_machine(world: World) -> None:
    """The ledger as it is where the sleeper runs on a machine that cannot be asked."""
    with world.ledger.transaction() as connection:
        connection.execute(update(schema.runs).values(machine="elsewhere"))
        holder = canonical({"machine": "elsewhere", "pid": 1, "started": 0.0})
        connection.execute(update(schema.leases).values(holder=holder))


def target(world: World) -> str:
    return f"{socket.gethostname()}:release:{world.root / 'app'}"


def settle(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.responder("settle", target(world), "--json", *words)


def taken_over(world: World, start: Start, victim: str, point: str) -> tuple[subprocess.Popen[str], Any]:
    """A sleeper whose lease ran out, whose end a person has told, and whose target another run has acted on."""
    run, sleeping = asleep(world, start, victim, point)
    on_another_machine(world)
    lease_ran_out(world)
    settled = settle(world, "--verified")
    assert settled.returncode == 0, settled.stderr
    assert world.drive().returncode == 0
    assert world.release == GOOD
    return run, sleeping


def told(world: World) -> str:
    """All that the record says in words."""
    with world.ledger.transaction(reading=True) as connection:
        return "\n".join(entry.summary for entry in audit.entries(connection))


def outcomes(world: World) -> list[str | None]:
    return [row.outcome for row in rows(world, schema.attempts)]


@short_lease
@whoever
def test_target_of_a_sleeper_on_this_machine_stays_held_after_its_lease(
    world: World, start: Start, victim: str
) -> None:
    run, sleeping = asleep(world, start, victim, "after the decision")
    lease_ran_out(world)
    other = world.drive()
    assert other.returncode == 3
    assert "holds this target" in world.refusals()
    assert (world.release, world.started()) == (BAD, 1)
    assert len(rows(world, schema.leases)) == 1
    wake(run, sleeping)
    assert (world.release, outcomes(world)) == (GOOD, ["improved"])


def test_a_refusal_of_another_run_of_its_incident_is_not_told_as_its_own(world: World, start: Start) -> None:
    run, sleeping = asleep(world, start, "worker", "after the decision")
    assert world.drive().returncode == 3
    said = wake(run, sleeping)
    assert (run.returncode, outcomes(world)) == (0, ["improved"]), said


@short_lease
def test_nobody_can_say_of_a_sleeper_on_this_machine_that_it_is_gone(world: World, start: Start) -> None:
    asleep(world, start, "worker", "after the decision")
    lease_ran_out(world)
    assert settle(world, "--verified").returncode != 0
    assert len(rows(world, schema.leases)) == 1
    assert world.drive().returncode == 3
    assert (world.release, outcomes(world)) == (BAD, [None])


def test_nobody_can_say_of_a_sleeper_elsewhere_that_it_is_gone_before_its_lease_ran_out(
    world: World, start: Start
) -> None:
    asleep(world, start, "worker", "after the decision")
    on_another_machine(world)
    assert settle(world, "--verified").returncode != 0
    assert len(rows(world, schema.leases)) == 1
    assert world.drive().returncode == 3
    assert (world.release, outcomes(world)) == (BAD, [None])


@short_lease
def test_the_clock_alone_frees_no_target_of_a_sleeper_elsewhere(world: World, start: Start) -> None:
    asleep(world, start, "worker", "after the decision")
    on_another_machine(world)
    lease_ran_out(world)
    assert settle(world).returncode != 0
    assert world.drive().returncode == 3
    assert (world.release, outcomes(world)) == (BAD, [None])


@short_lease
@whoever
def test_a_sleeper_whose_target_was_taken_over_notices_before_its_effect(
    world: World, start: Start, victim: str
) -> None:
    """The state is put back by hand to what its plan saw, so that nothing but the lease can hold it back."""
    run, sleeping = taken_over(world, start, victim, "after the decision")
    world.put_back()
    wake(run, sleeping)
    assert run.returncode != 0
    assert world.release == BAD
    assert "was taken over" in told(world)
    assert (outcomes(world), len(world.entries("effect.done"))) == (["not_done", "improved"], 1)
    assert audit.verify(world.ledger).ok


@short_lease
@pytest.mark.parametrize("to", [GOOD, "previous"])
def test_a_sleeper_past_its_last_look_is_held_back_by_the_state_that_its_plan_saw(
    world: World, start: Start, to: str
) -> None:
    """No lease is asked any more: the effect itself compares before it sets. What was settled stays settled."""

    def to_that(play: Play) -> None:
        one_step(play)
        play["tasks"][1][MODULE].update(to=to)

    world.write(to_that)
    run, sleeping = taken_over(world, start, "worker", "after the last look")
    link = (world.root / "app" / "current").lstat()
    wake(run, sleeping)
    assert run.returncode != 0
    assert (world.root / "app" / "current").lstat() == link
    assert (outcomes(world), frozen(world), rows(world, schema.leases)) == (["not_done", "improved"], [], [])
    assert audit.verify(world.ledger).ok


@short_lease
def test_what_a_sleeper_records_late_overturns_nothing_that_was_settled(world: World, start: Start) -> None:
    run, sleeping = asleep(world, start, "worker", "after the effect")
    on_another_machine(world)
    lease_ran_out(world)
    assert json.loads(settle(world, "--verified").stdout)["became"] == "done"
    before = outcomes(world)
    wake(run, sleeping)
    assert run.returncode != 0
    assert (outcomes(world), frozen(world), rows(world, schema.leases)) == (before, [], [])
    assert audit.verify(world.ledger).ok


@short_lease
@pytest.mark.parametrize("point", ["after the decision", "after the effect"])
def test_an_intent_that_was_settled_meanwhile_is_not_called_lost(world: World, start: Start, point: str) -> None:
    run, sleeping = asleep(world, start, "worker", point)
    on_another_machine(world)
    lease_ran_out(world)
    assert settle(world, "--verified").returncode == 0
    wake(run, sleeping)
    assert run.returncode != 0
    assert "lost" not in told(world)


def test_a_driver_that_sleeps_holds_up_its_own_end_alone(world: World, start: Start) -> None:
    """Its worker holds the lease and goes on: the action and its evidence are on the record while the driver sleeps."""
    run, sleeping = asleep(world, start, "driver", "after the decision")
    eventually(lambda: outcomes(world) == ["improved"], "the worker does not go on")
    assert rows(world, schema.leases) == []
    assert world.drive().returncode == 0
    wake(run, sleeping)
    assert (run.returncode, world.release, outcomes(world)) == (0, GOOD, ["improved"])


def test_target_of_a_module_that_outlived_its_worker_is_not_settled_while_it_lives(world: World, start: Start) -> None:
    """The module sleeps before its change; driver, play and worker are dead. What it has not done yet it still may do."""
    point = "in the effect, before the change"
    run = start(**befalls("all but the module", point, world.root / "reached", "orphan"))
    run.wait(60)
    [module] = eventually(
        lambda: [process for row in rows(world, schema.runs) for process in marked(row.id) if sleeps(process)],
        "the module does not sleep",
    )
    assert settle(world).returncode == 5
    assert world.drive().returncode == 3
    module.send_signal(signal.SIGCONT)
    eventually(lambda: not module.is_running() or module.status() == psutil.STATUS_ZOMBIE, "the module goes on")
    assert json.loads(settle(world).stdout)["became"] == "done"
    assert world.drive().returncode == 0
    assert (world.release, outcomes(world)) == (GOOD, ["unmeasured"])
