"""Whatever stands in an argument: a command ends with an exit code and a sentence, never with a traceback."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sre_responder import cli
from sre_responder.cli.output import open_streams

NASTY = (
    "", "-", "x\0y", "\udcff", "é\u202e", "STOP-²", "INC-99999999999999999999", "NaN", "9" * 5000, "9" * 23, "1e400", "-1", "0", "../../etc/passwd", "2026-01-01T00:00:00",
    "[[[[", "x" * 70_000,
)  # fmt: skip
LEFT_OUT = {"demo", "lab", "stop"}
"""What starts a shop, or ends processes of this machine."""


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below one, with the words that call it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    context = command.make_context("responder", [], resilient_parsing=True)
    for name in command.list_commands(context):
        if (*words, name)[0] not in LEFT_OUT:
            yield from commands(command.get_command(context, name), *words, name)


def asked(command: Any, nasty: str, chosen: Any) -> list[str]:
    """The words of a call in which one parameter is nasty and all that is required is there."""
    words, values = [], []
    for one in command.params:
        flag = getattr(one, "is_flag", False)
        if one is not chosen and not one.required:
            continue
        value = nasty if one is chosen else "INC-00001"
        if one.param_type_name == "argument":
            values.append(value)
        else:
            words += [one.opts[0]] if flag else [f"{one.opts[0]}={value}"]
    return [*words, "--", *values]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "init", "--profile", "homelab")
    call(monkeypatch, "incident", "open", "--service", "checkout", "--environment", "production")
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["responder", *words])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    open_streams()
    return cli._run()


ALL = dict(commands(get_command(cli.app)))


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_whatever_stands_in_an_argument_the_command_ends_with_an_exit_code_and_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: tuple[str, ...]
) -> None:
    command = ALL[name]
    for chosen in [one for one in command.params if one.name != "help" and not getattr(one, "is_flag", False)]:
        for nasty in NASTY:
            code = call(monkeypatch, *name, *asked(command, nasty, chosen))
            said = capsys.readouterr()
            assert code in range(7), (name, chosen.name, nasty)
            assert "Traceback" not in said.err
            assert code == 0 or said.err.strip(), (name, chosen.name, nasty[:50], code)
