"""The emergency stop: what its file says, whom a stop covers, and the line that a blocked action writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from sre_responder.emergency import stop
from sre_responder.emergency.stop import REASON_LIMIT, Source, read_file
from sre_responder.ledger import Ledger, audit
from sre_responder.ledger.schema import stops
from sre_responder.model.facts import StopFact

FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "absent": (lambda path: None, "clear", ""),
    "raised with a reason": (lambda path: path.write_text(" do not touch\n"), "raised", "do not touch"),
    "raised and empty": (lambda path: path.touch(), "raised", "no reason given"),
    "raised with a blank reason": (lambda path: path.write_text("\n \n"), "raised", "no reason given"),
    "raised with what is no text": (lambda path: path.write_bytes(b"\xff\x1b[31m"), "raised", "�\\x1b[31m"),
    "a link to a reason": (
        lambda path: (path.with_name("x").write_text("linked"), path.symlink_to("x")),
        "raised",
        "linked",
    ),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "unreadable", "No such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "unreadable", "symbolic links"),
    "a folder": (lambda path: path.mkdir(), "unreadable", ""),
    "a fifo": (lambda path: os.mkfifo(path), "unreadable", "is not a file"),
    "a device": (lambda path: path.symlink_to("/dev/null"), "unreadable", "is not a file"),
    "a missing folder": (lambda path: path.parent.rmdir(), "unreadable", "does not exist"),
    "a file in place of the folder": (
        lambda path: (path.parent.rmdir(), path.parent.touch()),
        "unreadable",
        "cannot be read",
    ),
    "a name that only begins alike": (lambda path: path.with_name(path.name + "x").touch(), "clear", ""),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "EMERGENCY_STOP"


@pytest.mark.parametrize("case", FILES)
def test_only_a_readable_folder_without_the_file_is_clear(file: Path, case: str) -> None:
    make, state, words = FILES[case]
    make(file)
    found = read_file(file)
    assert found.state == state
    assert words in found.reason
    assert (found.reason == "") == (state == "clear"), "whatever stops says why"


@pytest.mark.parametrize("case", FILES)
def test_reading_the_file_leaves_nothing_open_because_it_is_read_all_the_time(file: Path, case: str) -> None:
    FILES[case][0](file)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        read_file(file)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o000, 0o644), (0o711, 0o644), (0o755, 0o000)])
def test_what_may_not_be_read_means_stopped(folder_mode: int, file_mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others already
        file = Path(name, "EMERGENCY_STOP")
        file.touch(mode=file_mode)
        file.chmod(file_mode)
        Path(name).chmod(folder_mode)
        try:
            found = as_nobody(file)
        finally:
            Path(name).chmod(0o700)
    assert (found.state, "Permission denied" in found.reason) == ("unreadable", True)


def as_nobody(file: Path) -> Source:
    """What a user without rights reads: root may read everything, which proves nothing."""
    become = "os.setgroups([]); os.setgid(65534); os.setuid(65534);" if os.geteuid() == 0 else ""
    code = (
        "import json, os, sys; from pathlib import Path; from sre_responder.emergency.stop import read_file;"
        f"{become} print(json.dumps(read_file(Path(sys.argv[1])).__dict__))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    return Source(**json.loads(done.stdout))


@given(st.binary(max_size=3000))
def test_reason_is_printable_and_cut(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any-stop"
    file.write_bytes(content)
    found = read_file(file)
    assert found.state == "raised"
    assert found.reason.isprintable() and found.reason
    assert "cut at" in found.reason or len(content.decode("utf-8", "replace").strip()) <= REASON_LIMIT


def standing(
    ledger: Ledger, file: Path, environment: str = "staging", service: str = "checkout", *, record: bool = True
) -> tuple[StopFact, ...]:
    with ledger.transaction() as connection:
        return stop.standing(connection, 50.0, file, environment=environment, service=service, record=record)


@pytest.mark.parametrize(
    ("scope", "words", "covered"),
    [
        ({}, "everything", {("staging", "checkout"), ("staging", "stock"), ("production", "checkout")}),
        ({"environment": "staging"}, "staging", {("staging", "checkout"), ("staging", "stock")}),
        ({"service": "checkout"}, "checkout", {("staging", "checkout"), ("production", "checkout")}),
        ({"service": "checkout", "environment": "staging"}, "checkout in staging", {("staging", "checkout")}),
    ],
)
def test_a_stop_covers_its_scope_alone(
    ledger: Ledger, file: Path, scope: dict[str, str], words: str, covered: set[tuple[str, str]]
) -> None:
    with ledger.transaction() as connection:
        name = stop.raise_(connection, 9.0, "iris", "storm", **scope)
    places = [("staging", "checkout"), ("staging", "stock"), ("production", "checkout"), ("production", "stock")]
    found = {place: standing(ledger, file, *place) for place in places}
    everywhere = covered | ({("production", "stock")} if not scope else set())
    assert {place for place, facts in found.items() if facts} == everywhere
    assert found["staging", "checkout"] == (StopFact(name, "iris", "storm", words, 9.0),)


def test_several_people_can_hold_a_stop_and_one_lifted_leaves_the_others(ledger: Ledger, file: Path) -> None:
    with ledger.transaction() as connection:
        first, second = (stop.raise_(connection, 9.0, name, "storm") for name in ("iris", "dana"))
        connection.execute(update(stops).where(stops.c.holder == "iris").values(lifted_at=10.0))
    assert first != second
    assert [fact.id for fact in standing(ledger, file)] == [second]


def test_raising_a_stop_is_on_the_record_and_told(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        name = stop.raise_(connection, 9.0, "iris", "storm\x1b[2J", service="checkout")
        [entry] = audit.entries(connection, type="stop.raised")
    assert (entry.actor, entry.summary) == ("iris", f"{name} covers checkout: storm\\x1b[2J")


def test_a_file_seen_once_is_a_stop_of_the_ledger_that_its_deletion_does_not_lift(ledger: Ledger, file: Path) -> None:
    file.write_text("storm")
    [seen] = standing(ledger, file)
    assert [fact.id for fact in standing(ledger, file)] == [seen.id], "seen again it is the same stop"
    file.unlink()
    [left] = standing(ledger, file)
    assert (left.id, left.reason, left.scope, left.raised_at) == (seen.id, "storm", "everything", 50.0)


def test_a_file_seen_in_passing_stops_and_leaves_no_record(ledger: Ledger, file: Path) -> None:
    file.write_text("storm")
    [seen] = standing(ledger, file, record=False)
    assert (seen.id, seen.reason) == ("file", "storm")
    file.unlink()
    assert standing(ledger, file) == ()


def test_a_file_that_stands_after_its_stop_was_lifted_is_a_new_stop(ledger: Ledger, file: Path) -> None:
    file.write_text("storm")
    [first] = standing(ledger, file)
    with ledger.transaction() as connection:
        connection.execute(update(stops).values(lifted_at=10.0))
    [second] = standing(ledger, file)
    assert second.id != first.id


def test_an_unreadable_file_stops_beside_what_the_ledger_holds(ledger: Ledger, file: Path) -> None:
    with ledger.transaction() as connection:
        stop.raise_(connection, 9.0, "iris", "storm")
    file.mkdir()
    assert [fact.holder for fact in standing(ledger, file)] == ["the stop file", "iris"]


def test_a_blocked_action_writes_one_json_line_to_stderr_with_exactly_the_promised_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = (
        StopFact("STOP-1", "iris", "storm\n{{ x }}", "everything", 9.0),
        StopFact("file", "the stop file", "y", "everything", None),
    )
    error = stop.report("INC-1234", "release_rollback", facts, "2026-01-01T00:00:00Z")
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert json.loads(line) == {
        "timestamp": "2026-01-01T00:00:00Z",
        "incident_id": "INC-1234",
        "action_blocked": "release_rollback",
        "reason": "STOP-1 by iris: storm\n{{ x }}; file by the stop file: y",
        "outcome": "blocked",
    }
    assert (error.exit_code, error.cure) == (4, "responder lift STOP-1")
