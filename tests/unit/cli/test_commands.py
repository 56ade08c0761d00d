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

COMMANDS = [name for names in cli.MODULES.values() for name in names]
LOADED = """
import sys
from sre_responder import cli
try:
    cli.main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("module", cli.MODULES)
def test_a_module_adds_the_commands_that_stand_under_its_name(module: str) -> None:
    part = typer.Typer()
    import_module(f"sre_responder.cli.{module}").add_to(part)
    assert sorted(get_group(part).commands) == sorted(cli.MODULES[module])


def test_help_lists_every_command_once_with_its_help_and_groups_last() -> None:
    lines = CliRunner().invoke(cli.app, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    firsts = [line for line in lines if not line.startswith("    ")]
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in firsts}
    assert sorted(told) == sorted(COMMANDS) and len(firsts) == len(COMMANDS)
    assert all(told.values())
    assert [*told][:2] == ["demo", "run"] and [*told][-3:] == ["policy", "runbooks", "ledger"]


def test_a_command_imports_its_own_module_and_not_what_only_others_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "run", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    assert {name for name in cli.MODULES if f"sre_responder.cli.{name}" in loaded} == {"running"}
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
