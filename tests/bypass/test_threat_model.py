"""The threat model names every test of this folder, and no test that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
MODEL = TESTS.parent / "docs" / "threat-model.md"
ROW = re.compile(r"^\| (?P<way>[^|]+) \| (?P<stopped_by>[^|]+) \| `(?P<file>[\w/.]+)::(?P<test>\w+)` \|$", re.MULTILINE)


def functions_of(file: Path) -> set[tuple[str, str]]:
    tree = ast.parse(file.read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {(file.relative_to(TESTS).as_posix(), name) for name in names}


def test_every_way_names_a_test_and_every_test_is_named() -> None:
    named = {(row["file"], row["test"]) for row in ROW.finditer(MODEL.read_text())}
    bypass = set().union(
        *(functions_of(file) for file in (TESTS / "bypass").glob("test_*.py") if file != Path(__file__))
    )
    assert bypass - named == set(), "not in docs/threat-model.md"
    assert named <= set().union(*(functions_of(TESTS / file) for file, _ in named)), "named, and not there"


def test_every_line_of_the_table_is_whole() -> None:
    rows = [line for line in MODEL.read_text().splitlines() if "`bypass/" in line or "`scenario/" in line]
    assert [line for line in rows if not ROW.fullmatch(line)] == []
