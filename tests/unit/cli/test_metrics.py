"""`responder metrics`: an exposition on stdout, or in a file that is replaced whole; what cannot be read is down, and an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import ledgers

from sre_responder import cli
from sre_responder.ledger import Ledger

CATALOGUE = """apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: checkout}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own with an empty ledger."""
    (tmp_path / "stop").mkdir()
    (tmp_path / "policy.yml").write_text(f"profile: homelab\nstop: {{file: {tmp_path}/stop/EMERGENCY_STOP}}\n")
    (tmp_path / "catalogue.yml").write_text(CATALOGUE)
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    ledgers.make(Ledger(f"sqlite:///{tmp_path}/ledger.db"))
    return tmp_path


def responder(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["responder", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def up(exposition: str) -> float:
    [family] = [one for one in text_string_to_metric_families(exposition) if one.name == "responder_up"]
    return float(family.samples[0].value)


def test_it_prints_an_exposition(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert responder(monkeypatch, "metrics") == 0
    said = capsys.readouterr()
    assert (up(said.out), said.err) == (1, "")


def test_it_replaces_the_textfile_and_leaves_nothing_beside_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "collector").mkdir()
    file = home / "collector" / "responder.prom"
    file.write_text("responder_up 0\n" * 1000)
    old = file.stat().st_ino
    assert responder(monkeypatch, "metrics", "--textfile", file) == 0
    assert (up(file.read_text()), file.stat().st_ino != old) == (1, True)
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("broken", "code", "said"),
    [("ledger.db", 1, "does not exist"), ("policy.yml", 2, "policy.yml"), ("catalogue.yml", 2, "catalogue.yml")],
)
def test_what_cannot_be_read_is_down_in_the_file_and_an_error_of_the_command(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
    code: int,
    said: str,
) -> None:
    if broken == "ledger.db":
        (home / broken).unlink()
    else:
        (home / broken).write_text("profile: [nonsense\n")
    file = home / "responder.prom"
    assert responder(monkeypatch, "metrics") == code
    shown = capsys.readouterr()
    assert up(shown.out) == 0 and said in shown.err
    assert responder(monkeypatch, "metrics", "--textfile", file) == code
    assert up(file.read_text()) == 0 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("responder.txt", "The textfile collector reads no other files."),
        ("/dev/stdout", "The textfile collector reads no other files."),
        ("none/responder.prom", "No such file or directory"),
        ("policy.yml/responder.prom", "Not a directory"),
    ],
)
def test_a_file_that_node_exporter_would_not_read_is_bad_input(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert responder(monkeypatch, "metrics", "--textfile", home / name) == 2
    assert said in capsys.readouterr().err
