"""A disk that is full, broken or read-only: refused with a sentence, nothing changed without a record, the record whole."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bypass.world import DRIVEN, World
from crash.at import BAD, GOOD, crash, frozen, rows

from sre_responder.ledger import Ledger, audit, schema

pytestmark = pytest.mark.slow

Through = tuple[str, ...]
MOUNTED = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
FULL = """
mkdir -p after && cp -a "$0/." after && mount -t tmpfs -o size=2m full "$0" && cp -a after/. "$0" || exit 99
head -c 4m /dev/zero >"$0/filler" 2>/dev/null
"$@"
code=$?
rm "$0/filler" && cp -a "$0/." after
exit $code
"""
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99\nexec "$@"'


def full(folder: str) -> Through:
    """The folder on a small file system of its own without a free byte; how it stood afterwards is kept in `after`."""
    return *MOUNTED, FULL, folder


def read_only(folder: str) -> Through:
    return *MOUNTED, READ_ONLY, folder


def broken(call: str, error: str = "EIO", at: str = "") -> Through:
    """Every such system call of every process of the run fails, or every one on that file or folder."""
    where = f"-P {at}" if at else "--seccomp-bpf"  # one or the other: the kernel's own filter knows no paths
    return (*f"strace -f -qq -o /dev/null {where} -e trace={call} -e inject={call}:error={error}".split(),)


@pytest.fixture
def run(world: World, component: Callable[[str, str], Path]) -> Callable[..., tuple[int, str]]:
    """`run(through, driven=)` is the exit code of a run in these surroundings, and all that it said."""

    def through(surroundings: Through, *, driven: bool) -> tuple[int, str]:
        component(surroundings[0], "strace" if surroundings[0] == "strace" else "util-linux")
        command = [str(Path(sys.executable).parent / "responder"), *DRIVEN] if driven else world.command()
        done = subprocess.run(
            [*surroundings, *command], env=world.environ, cwd=world.root, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode == 99 or "unshare failed" in done.stderr or "PTRACE" in done.stderr:
            pytest.skip(f"this user may not do that here: {done.stderr.strip()}")
        return done.returncode, done.stdout + done.stderr

    for folder in ("undo", "runs"):
        (world.home.state / folder).mkdir()
    return through


REFUSED: dict[str, tuple[Through, bool]] = {
    "the ledger on a full disk": (full("state"), False),
    "the ledger on a full disk, driven": (full("state"), True),
    "the ledger on a read-only disk": (read_only("state"), False),
    "the ledger on a disk that does not sync": (broken("fdatasync"), False),
    "the ledger on a disk that does not write": (broken("pwrite64", "ENOSPC"), False),
    "the ledger on a disk that does not read": (broken("pread64", at="state/ledger.db"), True),
    "the undo capsule on a full disk": (full("state/undo"), False),
    "the undo capsule on a read-only disk": (read_only("state/undo"), False),
    "the undo capsule on a disk that does not sync": (broken("fsync"), False),
    "the folder of the runs on a full disk": (full("state/runs"), True),
    "the folder of the runs on a read-only disk": (read_only("state/runs"), True),
}


@pytest.mark.parametrize("case", REFUSED)
def test_before_the_intent_it_is_refused_with_a_sentence_and_nothing_is_changed(
    world: World, run: Callable[..., tuple[int, str]], case: str
) -> None:
    surroundings, driven = REFUSED[case]
    code, said = run(surroundings, driven=driven)
    after = world.root / "after" / "ledger.db"
    ledger = Ledger(f"sqlite:///{after}") if after.exists() else world.ledger
    assert code != 0
    assert (world.release, world.started(), rows(world, schema.effects)) == (BAD, 0, [])
    assert audit.verify(ledger).ok
    assert "Traceback" not in said
    assert ("the ledger" in said and "cannot be used" in said) or "othing was changed" in said, said


def test_the_same_step_acts_where_the_disk_is_well(world: World, run: Callable[..., tuple[int, str]]) -> None:
    assert run(("env",), driven=False)[0] == 0
    assert (world.release, world.started()) == (GOOD, 1)


def test_an_effect_that_its_disk_does_not_take_is_told_as_failed(
    world: World, run: Callable[..., tuple[int, str]]
) -> None:
    code, said = run(read_only("app"), driven=False)
    assert code != 0
    assert "cannot be switched to 1: [Errno 30] Read-only file system" in said
    [effect] = rows(world, schema.effects)
    assert (world.release, effect.state, frozen(world)) == (BAD, "failed", [])
    assert audit.verify(world.ledger).ok


def test_an_effect_that_its_disk_does_not_confirm_is_unknown_until_its_probe_says_done(
    world: World, run: Callable[..., tuple[int, str]]
) -> None:
    """The link is switched, and its folder was not synced."""
    code, said = run(broken("fsync", at="app"), driven=False)
    assert code != 0
    assert "outcome is unknown" in said
    assert (world.release, len(frozen(world))) == (GOOD, 1)
    assert world.responder("settle", frozen(world)[0]).returncode == 0
    assert (world.play().returncode, world.started(), frozen(world)) == (0, 1, [])


def test_a_write_ahead_log_that_was_cut_anywhere_leaves_a_whole_record(world: World, tmp_path: Path) -> None:
    """What a power loss takes is the newest entries, each with its head: never a part of one."""
    ledger, state = world.ledger, world.home.state
    with closing(sqlite3.connect(state / "ledger.db")) as reader:
        reader.execute("BEGIN")  # keeps the log from being folded into the database
        reader.execute("SELECT count(*) FROM audit").fetchone()
        for number in range(20):
            with ledger.transaction() as connection:
                audit.append(connection, ledger.now(connection), "note.made", "test", f"entry {number}")
        shutil.copytree(state, tmp_path / "whole")
    log = (tmp_path / "whole" / "ledger.db-wal").read_bytes()
    found = set()
    for length in range(0, len(log) + 1, max(1, len(log) // 50)):
        cut = shutil.copytree(tmp_path / "whole", tmp_path / "cut", ignore=shutil.ignore_patterns("*-shm"))
        (cut / "ledger.db-wal").write_bytes(log[:length])
        verdict = audit.verify(Ledger(f"sqlite:///{cut / 'ledger.db'}"))
        assert verdict.ok, (length, verdict)
        found.add(verdict.entries)
        shutil.rmtree(cut)
    assert len(found) > 10


LATE = ("after the decision", "after the effect", "after its record")


@pytest.mark.parametrize("point", ["after the plan", "after the undo capsule", *LATE])
def test_a_disk_that_is_full_from_one_moment_on_loses_nothing_and_is_told_as_it_is(tmp_path: Path, point: str) -> None:
    found = crash(tmp_path, point, "worker", "fill")
    assert found.broken == []
    assert found.code == (5 if point in LATE else 1)
    assert ("othing was changed" in found.said) == (found.release == BAD), found.said


def test_a_driver_that_can_write_no_more_ends_its_run_and_says_so(tmp_path: Path) -> None:
    found = crash(tmp_path, "during the evidence", "driver", "fill")
    assert found.broken == []
    assert "Traceback" not in found.said
