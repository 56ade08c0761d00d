"""Each command is imported when it is called; together they are what `--help` lists."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.main import get_group
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.cli.commands import GROUPS, MODULES

LOADED = """
import sys
from sre_responder import cli
try:
    cli.main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_a_module_adds_the_commands_that_stand_under_its_name(module: str) -> None:
    part = typer.Typer()
    import_module(f"sre_responder.cli.{module}").add_to(part)
    assert sorted(get_group(part).commands) == sorted(name for name, where in MODULES.items() if where == module)


def test_help_lists_every_command_once_in_one_line_under_its_group_and_the_night_first() -> None:
    _, *groups = CliRunner().invoke(cli.app, ["--help"]).output.split("Show this message and exit.")[1].split("\n\n")
    shown = [
        (group.splitlines()[0].rstrip(":"), [line.split()[0] for line in group.splitlines()[1:]]) for group in groups
    ]
    assert shown == [(group, [*commands]) for group, commands in GROUPS.items()]
    assert shown[0][1][:3] == ["status", "stop", "run"]


def test_help_imports_no_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    assert not {f"sre_responder.cli.{name}" for name in MODULES.values()} & loaded
    assert not loaded & {"sqlalchemy", "pydantic", "psutil", "yaml"}


def test_a_command_imports_its_own_module_and_not_what_only_others_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "run", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    assert {name for name in MODULES.values() if f"sre_responder.cli.{name}" in loaded} == {"running"}
    assert not loaded & {"httpx", "networkx", "sre_responder.effects"}


@pytest.mark.parametrize("command", ["status", "doctor", "deliver"])
def test_a_home_without_clusters_waits_for_no_client_of_kubernetes(tmp_path: Path, command: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/policy.yml").write_text(f"profile: homelab\nstop: {{file: {tmp_path}/EMERGENCY_STOP}}\n")
    homes = {"RESPONDER_HOME": f"{tmp_path}/home", "RESPONDER_LEDGER": f"sqlite:///{tmp_path}/ledger.db"}
    environ = {**os.environ, **homes}
    words = [sys.executable, "-c", LOADED]
    subprocess.run([*words, "init"], env=environ, capture_output=True, check=True, timeout=60)
    done = subprocess.run([*words, command], env=environ, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stderr.split())
    assert "sre_responder.emergency.cluster_stop" in loaded
    assert not loaded & {"kubernetes", "sre_responder.effects.kubernetes"}


def test_a_misspelt_command_is_answered_with_those_that_are_near() -> None:
    told = CliRunner().invoke(cli.app, ["aproove"])
    assert (told.exit_code, "'approve', 'approvals'" in told.output) == (2, True)
