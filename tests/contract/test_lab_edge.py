"""A real HAProxy still says what was recorded, which the lab's edge repeats byte for byte (tests/unit/lab)."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

LAB = Path(__file__).parents[1] / "unit" / "lab"
RECORDED: list[list[str]] = json.loads((LAB / "haproxy-2.6.json").read_text())
OF_THE_MOMENT = {"lastchg", "downtime", "slim", "srv_time_since_last_change"}
"""Columns that hold a time, or a limit of the machine."""

Answers = list[list[str]]


@pytest.fixture
def haproxy(component: Callable[[str, str], Path]) -> Path:
    return component("haproxy", "haproxy")


@pytest.fixture
def real(haproxy: Path) -> Answers:
    done = subprocess.run(
        [sys.executable, LAB / "record_haproxy.py", haproxy], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: Answers = json.loads(done.stdout)
    return answers


def rows(command: str, answer: str) -> list[dict[str, str]]:
    """A table that HAProxy printed, without what moves by itself."""
    if command == "show stat":
        found = list(csv.DictReader(io.StringIO(answer.removeprefix("# "))))
    else:
        columns, *lines = answer.removeprefix("1\n# ").splitlines()
        found = [dict(zip(columns.split(), line.split(), strict=True)) for line in lines if line]
    return [{column: value for column, value in row.items() if column not in OF_THE_MOMENT} for row in found]


def tables(answers: Answers) -> list[list[dict[str, str]]]:
    return [rows(c, a) for c, a in answers if c in ("show stat", "show servers state", "show servers state checkout")]


def test_what_the_effects_read_is_as_recorded_in_every_version(real: Answers) -> None:
    columns = ("pxname", "svname", "status", "weight", "srv_name", "srv_admin_state", "srv_uweight")
    for now, then in zip(tables(real), tables(RECORDED), strict=True):
        assert [[row.get(column) for column in columns] for row in now] == [
            [row.get(column) for column in columns] for row in then
        ]


def test_every_answer_of_the_recorded_version_is_the_recorded_one(haproxy: Path, real: Answers) -> None:
    version = subprocess.run([haproxy, "-v"], capture_output=True, text=True, check=True).stdout
    if " 2.6." not in version.splitlines()[0]:
        pytest.skip(f"the answers were recorded from HAProxy 2.6, this is {version.split()[2]}")
    assert tables(real) == tables(RECORDED)
    said = [pair for pair in RECORDED if not pair[0].startswith("show")]
    assert [pair for pair in real if not pair[0].startswith("show")] == said
