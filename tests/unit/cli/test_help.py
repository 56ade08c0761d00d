"""Help is whole on a terminal of 80 columns, every reading command speaks JSON, and shells complete the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sre_responder import __version__, cli

PRINTS_TEXT_FOR_MACHINES = {
    "completion", "audit export", "audit anchor", "break-glass sign", "kubernetes manifests", "metrics", "policy schema",
}  # fmt: skip


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    for name in names:
        yield from commands(command.get_command(None, name), (*path, name))


EVERY = dict(commands(get_command(cli.app)))
LEAVES = {" ".join(path): command for path, command in EVERY.items() if not hasattr(command, "list_commands")}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_is_whole_at_80_columns(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    shown = CliRunner().invoke(cli.app, [*path, "-h"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines[1:] if line.rstrip().endswith(("...", "\u2026"))] == []
    below = [command for one, command in EVERY.items() if path and one[:-1] == path]
    for command in [EVERY[path], *below]:
        assert not command.help or words(command.help.split("\n\n")[0]) in words(shown.output)


def test_both_names_of_the_option_show_the_same() -> None:
    long, short = (CliRunner().invoke(cli.app, ["run", option]).output for option in ("--help", "-h"))
    assert long == short


def test_every_command_speaks_json() -> None:
    silent = {name for name, command in LEAVES.items() if not any("--json" in one.opts for one in command.params)}
    assert silent == PRINTS_TEXT_FOR_MACHINES


def test_the_version_is_shown_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESPONDER_HOME", "/nowhere")
    shown = CliRunner().invoke(cli.app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"responder {__version__}\n")


@pytest.mark.parametrize("name", ["responder", "sre-responder"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion_script(shell: str, name: str) -> None:
    script = CliRunner().invoke(cli.app, ["completion", shell, "--name", name])
    assert script.exit_code == 0
    assert name in script.stdout and f"_{name.replace('-', '_').upper()}_COMPLETE" in script.stdout


@pytest.mark.parametrize("arguments", [("tcsh",), ("bash; reboot",), ("bash", "--name", "$(reboot)")])
def test_another_shell_or_command_is_bad_input(arguments: tuple[str, ...]) -> None:
    assert type(CliRunner().invoke(cli.app, ["completion", *arguments]).exception).__name__ == "InputError"


@pytest.mark.parametrize(
    ("line", "found"), [("responder appro", {"approve", "approvals"}), ("responder incident sh", {"show"})]
)
def test_commands_and_what_is_below_them_are_completed(line: str, found: set[str]) -> None:
    environ = {
        **os.environ, "_RESPONDER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))
    }  # fmt: skip
    code = "import sys; sys.argv[0] = 'responder'; from sre_responder.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert set(done.stdout.split()) == found, done.stderr
