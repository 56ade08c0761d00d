"""Starters: what is written can be linted at once, stands by rung, and is not taken for finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.errors import InputError
from sre_responder.home.readme import lacking
from sre_responder.home.runbook import Runbook
from sre_responder.lint import findings, undocumented
from sre_responder.model.actions import ACTIONS

Make = Callable[..., Result]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(cli.app, ["new", "runbook", *words])


@pytest.mark.parametrize(
    "chosen",
    [*([one] for one in ACTIONS), [*ACTIONS], []],
    ids=lambda chosen: chosen[0] if len(chosen) == 1 else len(chosen),
)
def test_a_starter_weakens_nothing_and_has_its_steps_by_rung(make: Make, tmp_path: Path, chosen: list[str]) -> None:
    done = make("slow", "--alert", "Slow", *[word for one in reversed(chosen) for word in ("--action", one)])
    assert done.exit_code == 0, done.output
    book = Runbook(tmp_path / "runbooks" / "slow", None, False)
    assert not findings(book.folder)
    assert {str(task.action) for task in book.steps} == set(chosen)
    rungs = [ACTIONS[str(task.action)].rung for task in book.steps]
    assert rungs == sorted(rungs)
    assert book.metadata.serves({"labels": {"alertname": "Slow"}})


def test_a_starter_is_not_taken_for_a_readme_that_people_can_use(make: Make, tmp_path: Path) -> None:
    make("slow", "--action", "supervisor_restart")
    folder = tmp_path / "runbooks" / "slow"
    assert [one.rule for one in undocumented(folder)] == ["readme"]
    assert "Impact" in lacking((folder / "README.md").read_text()) and "Steps" not in lacking(
        (folder / "README.md").read_text()
    )


def test_without_an_alert_it_serves_none(make: Make, tmp_path: Path) -> None:
    make("slow")
    assert not Runbook(tmp_path / "runbooks" / "slow", None, False).metadata.serves({"labels": {"alertname": "Slow"}})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["../slow"], "../slow"), (["Slow\n"], "Slow"), (["slow", "--action", "reboot"], "reboot"),
        (["slow", "--alert", "x' || `true`"], "x' || `true`"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_is_written(make: Make, tmp_path: Path, words: list[str], named: str) -> None:
    error = make(*words).exception
    assert isinstance(error, InputError) and named in error.message
    assert not (tmp_path / "runbooks").exists()


def test_what_exists_is_left_alone(make: Make, tmp_path: Path) -> None:
    make("slow")
    (tmp_path / "runbooks" / "slow" / "runbook.yml").write_text("mine")
    error = make("slow").exception
    assert isinstance(error, InputError) and "exists already" in error.message
    assert (tmp_path / "runbooks" / "slow" / "runbook.yml").read_text() == "mine"
