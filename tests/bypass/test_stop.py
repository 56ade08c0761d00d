"""Ways round the emergency stop. Each asserts by the disk that nothing was changed, or that it ended there."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from bypass.slow import HISTORY, acting, reading, slow
from bypass.world import DRIVEN, World

from sre_responder.emergency import stop
from sre_responder.ledger import runs


def file(world: World) -> Path:
    return Path(world.root / "stop" / "EMERGENCY_STOP")


def raised(world: World) -> None:
    file(world).write_text("the database is being moved")


HOW: dict[str, Callable[[Path], object]] = {
    "raised": lambda path: path.write_text("the database is being moved"),
    "empty": Path.touch,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a folder": Path.mkdir,
    "a pipe that nobody writes": os.mkfifo,
    "no folder": lambda path: path.parent.rmdir(),
}


@pytest.mark.parametrize("how", HOW)
def test_whatever_the_stop_file_is_but_absent_stops(world: World, how: str) -> None:
    HOW[how](file(world))
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "emergency stop" in world.refusals()
    assert "responder lift file" not in world.refusals()


ALIKE = (
    "emergency_stop",
    "EMERGENCY_STOP ",
    "EMERGENCY_STOP.txt",
    "Emergency-Stop.TXT",
    "EMERGENCYSTOP",
    "EMERGENCY_STOP\n",
)


@pytest.mark.parametrize("name", ALIKE)
def test_what_looks_like_the_stop_file_stops_and_is_named(world: World, name: str) -> None:
    file(world).with_name(name).write_text("the database is being moved")
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "is taken for the stop file" in world.refusals()


MARKS = ("of no run", "of a run that has ended", "of a run that something else drives")


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_is_not_its_own_hides_no_play_from_a_stop(world: World, mark: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        with world.ledger.transaction() as connection:
            now = world.ledger.now(connection)
            if mark != MARKS[0]:
                pid = other.pid if mark == MARKS[2] else os.getpid()
                runs.begin(connection, now, "run-0123", pid=pid, driven=True, requester="rosa", environment="staging")
            if mark == MARKS[1]:
                runs.end(connection, now, "run-0123", "healed", "rosa", "healed")
        done = world.play(RESPONDER_RUN="run-0123")
        other.kill()
    assert done.returncode != 0
    assert "Unset RESPONDER_RUN" in done.stdout
    assert (world.release, world.started()) == ("2", 0)


@pytest.mark.parametrize("closed", [".", "EMERGENCY_STOP"])
def test_a_stop_that_may_not_be_read_stops(world: World, ordinary: tuple[str, ...], closed: str) -> None:
    raised(world)
    (world.root / "stop" / closed).chmod(0o000)
    try:
        assert world.play(through=ordinary).returncode != 0
        assert (world.release, world.started()) == ("2", 0)
        assert "cannot be read: Permission denied" in world.refusals()
    finally:
        (world.root / "stop" / closed).chmod(0o700)


def test_who_may_read_that_there_is_no_stop_may_act(world: World, ordinary: tuple[str, ...]) -> None:
    assert world.play(through=ordinary).returncode == 0
    assert (world.release, world.started()) == ("1", 1)


def test_diagnosis_goes_on_under_a_stop(world: World) -> None:
    raised(world)
    assert "ok: [localhost]" in world.play().stdout


def test_a_stop_by_command_stops_every_machine_of_the_ledger(world: World) -> None:
    assert world.responder("stop", "the database is being moved").returncode == 0
    assert not file(world).exists()
    for done in (world.play(), world.drive()):
        assert done.returncode != 0
        assert (world.release, world.started()) == ("2", 0)
    assert "the database is being moved" in world.refusals()


SCOPES: dict[str, tuple[dict[str, str], bool]] = {
    "this environment": ({"environment": "staging"}, True),
    "another environment": ({"environment": "production"}, False),
    "this service": ({"service": "checkout"}, True),
    "another service": ({"service": "search"}, False),
    "this service in this environment": ({"service": "checkout", "environment": "staging"}, True),
    "this service in another environment": ({"service": "checkout", "environment": "production"}, False),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_stop_covers_its_scope_and_nothing_else(world: World, scope: str) -> None:
    covers, stops = SCOPES[scope]
    with world.ledger.transaction() as connection:
        stop.raise_(connection, world.ledger.now(connection), "dana", "we look", **covers)
    world.play()
    assert (world.release, world.started()) == (("2", 0) if stops else ("1", 1))
    assert ("emergency stop" in world.refusals()) is stops


LIFTED: dict[str, Callable[[Path], object]] = {
    "the file is deleted": Path.unlink,
    "the file is moved away": lambda path: path.rename(path.with_name("moved")),
    "the file is emptied": lambda path: path.write_text(""),
    "the file says that it is lifted": lambda path: path.write_text("lifted"),
}


@pytest.mark.parametrize("how", LIFTED)
def test_a_stop_that_was_seen_is_not_lifted_by_its_file(world: World, how: str) -> None:
    raised(world)
    world.play()
    LIFTED[how](file(world))
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert world.refusals().count("the database is being moved") == 2


def test_only_the_incident_commander_lifts_a_stop_and_only_once_its_file_is_gone(world: World) -> None:
    keys = {name: world.root / name for name in ("dana", "iris")}
    for key in keys.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    roles = {"dana": "operator", "iris": "incident_commander"}
    people = [{"name": name, "principal": name, "roles": [role]} for name, role in roles.items()]
    (world.home.folder / "people.yml").write_text(yaml.safe_dump({"people": people}))
    signers = "".join(f"{name} {key.with_suffix('.pub').read_text()}" for name, key in keys.items())
    (world.home.folder / "allowed_signers").write_text(signers)
    raised(world)
    world.play()

    def lift(*arguments: str) -> int:
        return int(world.responder("lift", "STOP-1", *arguments).returncode)

    iris, dana = ("--as", "iris", "--key", str(keys["iris"])), ("--as", "dana", "--key", str(keys["dana"]))
    assert lift(*iris) == 3  # the file still stands
    file(world).unlink()
    assert lift(*dana) == 3  # an operator
    assert lift("--as", "iris", "--key", str(keys["dana"])) == 3  # with the key of another
    world.play()
    assert (world.release, world.started()) == ("2", 0)
    assert world.entries("stop.lifted") == []
    assert lift(*iris) == 0
    world.play()
    assert (world.release, world.started()) == ("1", 1)


def test_a_stop_raised_while_the_plan_is_made_stops(world: World) -> None:
    with slow(world) as run:
        with reading(world) as pipe:
            raised(world)
            os.write(pipe, HISTORY)
        run.communicate(timeout=60)
    assert run.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "emergency stop" in world.refusals()


def test_a_stop_raised_between_decision_and_act_stops(world: World) -> None:
    """It is raised by the very commit that allows the action."""
    with closing(sqlite3.connect(world.root / "state" / "ledger.db")) as ledger:
        ledger.execute(
            "CREATE TRIGGER at_once AFTER INSERT ON effects BEGIN INSERT INTO stops (holder, reason, source, raised_at) "
            "VALUES ('dana', 'at the last moment', 'ledger', NEW.intended_at); END"
        )
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 1)
    assert "at the last moment" in world.refusals()
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == ["not_done"]


def by_file(world: World) -> None:
    raised(world)


def by_command(world: World) -> None:
    told = world.responder("stop", "the database is being moved", "--json")
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(("driven", "how"), [(True, by_file), (True, by_command), (False, by_command)])
def test_a_stop_raised_during_the_effect_ends_it_there(
    world: World, driven: bool, how: Callable[[World], None]
) -> None:
    command = [str(Path(sys.executable).parent / "responder"), *DRIVEN] if driven else world.command()
    with slow(world, *command) as run, acting(world) as pipe:
        how(world)
        run.communicate(timeout=60)
        with pytest.raises(BrokenPipeError):  # the module is gone: nobody reads what it waited for
            os.write(pipe, HISTORY)
    assert run.returncode == (4 if driven else -signal.SIGTERM)
    assert world.release == "2"
    assert len(world.entries("stop.raised")) == 1, "it stands in the ledger, whatever becomes of the file"
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == ["unknown"]


def test_a_stop_file_lets_the_effect_of_a_plain_play_end_and_nothing_after_it(world: World) -> None:
    """No driver watches: what has begun goes on, its outcome is unknown, and its target is frozen."""
    with slow(world) as run:
        with acting(world) as pipe:
            raised(world)
            os.write(pipe, HISTORY)
        run.communicate(timeout=60)
    assert run.returncode != 0
    assert (world.release, world.started()) == ("1", 1)
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == ["unknown"]
