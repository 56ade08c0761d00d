"""`responder evidence try`: measures now, draws it, records nothing, and says by its exit code what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import home_with
from typer.testing import CliRunner, Result

from sre_responder import cli
from sre_responder.evidence.draw import sparkline, thinned
from sre_responder.home import Home

Serve = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", made.ledger_url)
    return made


def tried(criterion: str, *words: str, given: str | None = None) -> Result:
    command = ["evidence", "try", criterion, "--service", "checkout", "--environment", "dev", *words]
    return CliRunner().invoke(cli.app, command, input=given)


def criterion(**look: Any) -> str:
    return yaml.safe_dump({"minimum_samples": 3, "hold_s": 0, "interval_s": 0.01, **look})


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(200, 0, "healthy: all 3 samples good: status 200"), (500, 1, "unhealthy: the only sample bad: status 500")],
)
def test_a_criterion_is_measured_now(home: Home, serve: Serve, status: int, code: int, words: str) -> None:
    done = tried("-", given=criterion(url=serve(status=status)))
    assert (done.exit_code, words in done.output) == (code, True), done.output
    assert "must  http" in done.output and "ms in the samples" in done.output


def test_what_cannot_be_measured_exits_5(home: Home) -> None:
    done = tried("purge")
    assert (done.exit_code, "unknown: " in done.output) == (5, True), done.output
    nowhere = tried("-", given=criterion())
    assert (nowhere.exit_code, "neither success.url nor the annotation" in nowhere.output) == (5, True)


def test_a_file_with_numbers_and_a_shadow_is_drawn_with_its_limits(home: Home, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("queue 7\n")
    shadow = {
        "source": "file",
        "name": "queue",
        "path": str(tmp_path / "status"),
        "pattern": r"queue (\d+)",
        "below": 5,
    }
    (tmp_path / "criterion.yml").write_text(criterion(url=serve(), shadow=[shadow]))
    done = tried(str(tmp_path / "criterion.yml"))
    assert done.exit_code == 0, done.output
    assert (
        "shadow  queue\n  ███  7 to 7 in the samples\n  xxx\n  good is below 5\n  bad: queue 7 is not below 5"
        in done.output
    )


def test_json_says_all_of_each_look(home: Home, serve: Serve) -> None:
    done = tried("-", "--json", given=criterion(url=serve(), name="front"))
    found = json.loads(done.output)
    assert (found["verdict"], found["exit_code"], found["samples"]["good"]) == ("healthy", 0, 3)
    [row] = found["looks"]
    assert (row["look"], row["source"], row["role"], row["ok"], len(row["samples"])) == (
        "front",
        "http",
        "must",
        True,
        3,
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("source: nowhere\n", "there is no source 'nowhere' of evidence"),
        ("query: up\n", "or prometheus or victorialogs` for it"),
        ("---\na: 1\n---\nb: 2\n", "holds 2 documents"),
        ("{[\n", "not valid YAML"),
    ],
)
def test_a_criterion_that_is_none_is_bad_input(home: Home, given: str, words: str) -> None:
    done = tried("-", given=given)
    assert done.exception is not None and words in str(done.exception), done.exception


@pytest.mark.parametrize("numbers", [[1.0], [0.0, 0.0], [3.0, 1.0, 2.0], [float(n) for n in range(1000)]])
def test_a_line_has_one_bar_a_number_and_loses_no_peak(numbers: list[float]) -> None:
    shown = thinned(numbers)
    bars, _ = sparkline(shown)
    assert len(bars) == len(shown) <= 60
    assert max(shown) == max(numbers)
