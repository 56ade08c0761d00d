"""Ways round the guard by names, variables and files. Each asserts by the disk that nothing was changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

from sre_responder.ledger.schema import not_applicable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("incident", "INC-1234\n"),
        ("incident", "INC-1234; reboot"),
        ("incident", "INC-12"),
        ("incident", "INC-\u0661\u0662\u0663\u0664"),
        ("incident", ""),
        ("incident", "INC-9999"),
        ("service", "checkout\n"),
        ("service", "che\u0441kout"),
        ("service", "$(reboot)"),
        ("service", "*"),
        ("service", ""),
        ("service", "nosuch"),
        ("target", "Staging"),
        ("target", "staging\n"),
        ("target", ""),
        ("target", "production"),
    ],
)
def test_a_name_that_is_not_whole_known_and_confirmed_changes_nothing(world: Any, name: str, value: str) -> None:
    done = world.play("-e", json.dumps({name: value}))
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0), done.stdout


@pytest.mark.parametrize("name", ["incident", "service", "environment"])
def test_a_name_that_neither_task_nor_defaults_give_changes_nothing_and_says_where_to_set_it(
    world: Any, name: str
) -> None:
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].pop(name))
    done = world.play()
    assert (done.returncode, world.release, world.started()) == (2, "2", 0), done.stdout
    assert f"{name} is not set. Set it in module_defaults of the play" in done.stdout + done.stderr


@pytest.mark.parametrize("to", ["", "*", "3", "../../etc", "2026-01-01", "1; reboot", "1\n"])
def test_a_release_that_is_not_in_the_history_changes_nothing(world: Any, to: str) -> None:
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(to=to))
    done = world.play()
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0), done.stdout


def test_variables_facts_and_environment_of_a_play_choose_no_policy(world: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "policy.yml").write_text("profile: homelab\n")
    (world.root / "stop" / "EMERGENCY_STOP").write_text("hold")
    names = ("responder_home", "RESPONDER_HOME", "policy", "profile", "stop_file", "gates")

    def change(play: dict[str, Any]) -> None:
        play["environment"] = {"RESPONDER_HOME": str(other)}
        play["vars"].update(dict.fromkeys(names, str(other)))
        play["tasks"].insert(0, {"ansible.builtin.set_fact": dict.fromkeys(names, str(other))})

    world.write(change)
    done = world.play("-e", json.dumps(dict.fromkeys(names, str(other))))
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "emergency stop" in world.refusals()


def test_a_runbook_changed_after_registration_is_refused(world: Any) -> None:
    with world.write().open("a") as file:
        file.write("# one more line\n")
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "has changed since it was registered" in world.refusals()


def test_a_copy_of_the_task_outside_a_registered_runbook_is_refused(world: Any, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.yml"
    copy.write_text((world.book / "runbook.yml").read_text())
    assert world.play(playbook=copy).returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "is not part of a registered runbook" in world.refusals()


def test_a_task_included_into_a_registered_runbook_is_not_a_declared_step(world: Any, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yml"

    def change(play: dict[str, Any]) -> None:
        extra.write_text(yaml.safe_dump([play["tasks"][1]]))
        play["tasks"].insert(1, {"ansible.builtin.include_tasks": str(extra)})

    world.write(change)
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)


def test_a_runbook_that_is_not_registered_calls_no_rung_not_applicable(world: Any) -> None:
    """A target that is already as wanted counts as a rung that does not apply: only a declared step may say so."""
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(to="2"), register=False)
    assert world.play().returncode != 0
    assert "has changed since it was registered" in world.refusals()
    with world.ledger.transaction(reading=True) as connection:
        assert connection.execute(select(not_applicable)).all() == []


@pytest.mark.parametrize("name", ["collections", "library", "action_plugins"])
def test_a_folder_that_shadows_plugins_voids_the_registration(world: Any, name: str) -> None:
    (world.book / name).mkdir()
    (world.book / name / "x.py").write_text("")
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "has changed since it was registered" in world.refusals()


def test_an_ad_hoc_call_of_the_module_is_refused(world: Any) -> None:
    arguments = f"incident=INC-1234 service=checkout environment=staging root={world.root}/app to=1"
    done = subprocess.run(
        ["ansible", "localhost", "-m", "sre.responder.release_rollback", "-a", arguments],
        env=world.environ, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0), done.stdout
