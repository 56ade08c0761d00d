"""Ways round what the ledger remembers: closed, full, broken, raced for, or told another time. Each asserts by the disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bypass.slow import HISTORY, acting, slow
from bypass.world import World
from bypass.world import world as new_world

from sre_responder.guard.picture import symptom
from sre_responder.ledger import Ledger, audit, incidents


@pytest.fixture
def looked(world: World) -> World:
    """The scope is known already: the guarded step is the first of the runbook, and the first that needs the ledger."""
    with world.ledger.transaction() as connection:
        audit.append(connection, world.ledger.now(connection), "scope.identified", "test", "seen", incident="INC-1234")
    world.write(lambda play: play["tasks"].pop(0))
    return world


def database(world: World) -> Path:
    return world.root / "state" / "ledger.db"


def test_the_same_step_acts_where_the_ledger_is_whole(looked: World) -> None:
    assert looked.play().returncode == 0
    assert (looked.release, looked.started()) == ("1", 1)


def sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as ledger:
            ledger.execute(statement)

    return change


def page_of(table: str) -> Callable[[Path], None]:
    """Junk over the page in which a table begins; the rest of the file stays whole."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as ledger:
            (page,) = ledger.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            (size,) = ledger.execute("PRAGMA page_size").fetchone()
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be used"),
    "no database": (lambda path: path.write_bytes(b"x" * 8192), "cannot be used"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:8192]), "cannot be used"),
    "of an older revision": (sql("UPDATE alembic_version SET version_num = '0000'"), "is at revision 0000"),
    "of a newer revision": (sql("UPDATE alembic_version SET version_num = '9999'"), "is at revision 9999"),
    "of no revision": (sql("DELETE FROM alembic_version"), "is at revision None"),
    **{
        f"corrupted in its {table}": (page_of(table), "cannot be used")
        for table in ("stops_standing", "attempts", "effects", "leases", "plans", "runs", "audit", "chain")
    },
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_ledger_that_is_broken_changes_nothing(looked: World, how: str) -> None:
    break_, sentence = BROKEN[how]
    break_(database(looked))
    done = looked.play()
    assert done.returncode != 0
    assert looked.release == "2"
    assert sentence in done.stdout, done.stdout


@pytest.mark.parametrize(("closed", "mode"), [("state/ledger.db", 0o400), ("state", 0o500)])
def test_a_ledger_that_may_not_be_written_changes_nothing(
    looked: World, ordinary: tuple[str, ...], closed: str, mode: int
) -> None:
    (looked.root / closed).chmod(mode)
    try:
        done = looked.play(through=ordinary)
    finally:
        (looked.root / closed).chmod(0o700)
    assert done.returncode != 0
    assert (looked.release, looked.started()) == ("2", 0)
    assert "cannot be used" in done.stdout, done.stdout


def test_a_ledger_that_is_locked_changes_nothing(looked: World) -> None:
    with closing(sqlite3.connect(database(looked), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = looked.play()
    assert done.returncode != 0
    assert (looked.release, looked.started()) == ("2", 0)
    assert "locked" in done.stdout, done.stdout


FULL = """
mount -t tmpfs -o size=1m full state && cp "$0"/* state || exit 99
head -c 2m /dev/zero > state/filler 2>/dev/null
exec "$@"
"""


def test_a_ledger_on_a_full_file_system_changes_nothing(looked: World) -> None:
    copy = shutil.copytree(looked.root / "state", looked.root / "copy")
    done = looked.play(through=("unshare", "--mount", "--propagation", "private", "sh", "-c", FULL, str(copy)))
    if done.returncode in (1, 99) and not done.stdout:
        pytest.skip("this user may not mount a file system of his own")
    assert done.returncode != 0
    assert looked.release == "2"
    assert "cannot be used" in done.stdout, done.stdout


def test_a_ledger_that_may_not_grow_changes_nothing(looked: World) -> None:
    """A reader keeps the write-ahead log from starting anew, and it is longer already than a file may become."""
    with closing(sqlite3.connect(database(looked), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM audit").fetchone()
        sql("CREATE TABLE filler AS SELECT randomblob(4 * 1024 * 1024)")(database(looked))
        done = looked.play(through=("prlimit", f"--fsize={2 * 1024 * 1024}"))
    assert done.returncode != 0
    assert (looked.release, looked.started()) == ("2", 0)
    assert "cannot be used" in done.stdout, done.stdout


def test_two_processes_that_race_for_one_target_act_once(world: World) -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for run in [subprocess.Popen(world.command(), env=world.environ, **quiet) for _ in range(2)]:
        run.wait(60)
    assert (world.release, world.started()) == ("1", 1)


def test_a_target_that_another_hand_changes_between_decision_and_act_is_left_to_it(world: World) -> None:
    (world.root / "app" / "releases" / "3").mkdir()
    with slow(world) as run:
        with acting(world) as pipe:
            world.put_back("3")
            os.write(pipe, HISTORY)
        told, _ = run.communicate(timeout=60)
    assert run.returncode != 0
    assert (world.release, world.started()) == ("3", 1)
    assert "not as the plan saw it" in told
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == ["not_done"]


def another_incident(world: World, severity: str = "SEV3") -> tuple[str, ...]:
    """A second number for the same symptom, as arguments of a play."""
    with world.ledger.transaction() as connection:
        incidents.open_(
            connection, world.ledger.now(connection), id="INC-5678", service="checkout", environment="staging",
            severity=severity, title="again", actor="test",
        )  # fmt: skip
    return "-e", json.dumps({"incident": "INC-5678"})


def test_a_new_incident_number_does_not_reset_attempts(world: World) -> None:
    """After one attempt that did not help the remedy is not taken again under another number."""
    assert world.play().returncode == 0 and world.release == "1"
    world.put_back()
    world.play(*another_incident(world))
    assert (world.release, world.started()) == ("2", 1)


def test_a_new_incident_of_lower_severity_does_not_loosen_the_limits(tmp_path: Path) -> None:
    """SEV4 has no limit of automatic actions; the attempts were made for a SEV3."""
    with new_world(tmp_path, severities={"SEV3": {"automatic_actions": 1}}) as world:
        world.heals("1")
        assert world.play().returncode == 0 and world.release == "1"
        world.put_back()
        for number in ((), another_incident(world, "SEV4")):
            assert world.play(*number).returncode != 0
            assert (world.release, world.started()) == ("2", 1)
            assert "automatic actions" in world.refusals().splitlines()[-1]


def test_a_clock_set_ahead_for_a_moment_gives_no_new_attempts(world: World) -> None:
    """One entry is dated a day ahead, between the first attempt and the second: the day did not pass."""
    ahead = Ledger(world.ledger.url, lambda: time.time() + 86400)
    world.heals("1")
    for _ in range(2):
        assert world.play().returncode == 0 and world.release == "1"
        world.put_back()
        with ahead.transaction() as connection:
            audit.append(connection, ahead.now(connection), "note.added", "test", "tomorrow")
    world.play()
    assert (world.release, world.started()) == ("2", 2)
    assert "loop" in world.refusals()
    assert len(world.entries("clock.jumped")) == 1


def test_a_clock_set_back_does_not_hide_attempts_behind_a_later_recovery(world: World) -> None:
    """The symptom was measured healthy in an hour that the clock has not reached again: what is tried now still counts."""
    name, later = symptom("staging", "checkout", "bad-release"), Ledger(world.ledger.url, lambda: time.time() + 3600)
    for past in (80, 40, 0):
        with later.transaction() as connection:
            incidents.observe(connection, later.now(connection) - past, name, True, 60)
    world.heals("1")
    for _ in range(2):
        assert world.play().returncode == 0 and world.release == "1"
        world.put_back()
    world.play()
    assert (world.release, world.started()) == ("2", 2)
    assert "loop" in world.refusals()
