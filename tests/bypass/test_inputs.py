"""Ways round the guard by names, variables, files and clocks. Each asserts by the disk that nothing was changed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml


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
    assert "not registered as it is now" in world.refusals()


def test_a_copy_of_the_task_outside_a_registered_runbook_is_refused(world: Any, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.yml"
    copy.write_text((world.book / "runbook.yml").read_text())
    assert world.play(playbook=copy).returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "does not stand in a registered runbook" in world.refusals()


def test_a_task_included_into_a_registered_runbook_is_not_a_declared_step(world: Any, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yml"

    def change(play: dict[str, Any]) -> None:
        extra.write_text(yaml.safe_dump([play["tasks"][1]]))
        play["tasks"].insert(1, {"ansible.builtin.include_tasks": str(extra)})

    world.write(change)
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)


@pytest.mark.parametrize("name", ["collections", "library", "action_plugins"])
def test_a_folder_that_shadows_plugins_voids_the_registration(world: Any, name: str) -> None:
    (world.book / name).mkdir()
    (world.book / name / "x.py").write_text("")
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "not registered as it is now" in world.refusals()


def test_an_ad_hoc_call_of_the_module_is_refused(world: Any) -> None:
    arguments = f"incident=INC-1234 service=checkout environment=staging root={world.root}/app to=1"
    done = subprocess.run(
        ["ansible", "localhost", "-m", "sre.responder.release_rollback", "-a", arguments],
        env=world.environ, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0), done.stdout


def _raise(world: Any, how: str) -> None:
    path = world.root / "stop" / "EMERGENCY_STOP"
    match how:
        case "raised":
            path.write_text("the database is being moved")
        case "empty":
            path.touch()
        case "a dangling link":
            path.symlink_to("nowhere")
        case "a folder":
            path.mkdir()
        case "a pipe that nobody writes":
            os.mkfifo(path)
        case "no folder":
            path.parent.rmdir()


@pytest.mark.parametrize(
    "how", ["raised", "empty", "a dangling link", "a folder", "a pipe that nobody writes", "no folder"]
)
def test_whatever_the_stop_file_is_but_absent_stops(world: Any, how: str) -> None:
    _raise(world, how)
    done = world.play()
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "emergency stop" in world.refusals()


def test_deleting_a_stop_file_that_was_seen_does_not_lift_the_stop(world: Any) -> None:
    _raise(world, "raised")
    world.play()
    (world.root / "stop" / "EMERGENCY_STOP").unlink()
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)


def test_diagnosis_goes_on_under_a_stop(world: Any) -> None:
    _raise(world, "raised")
    assert "ok: [localhost]" in world.play().stdout


def test_a_ledger_that_is_missing_changes_nothing(world: Any) -> None:
    world.ledger.path.unlink()
    done = world.play()
    assert done.returncode != 0 and world.release == "2"
    assert "does not exist" in done.stdout


def test_a_ledger_that_is_corrupted_changes_nothing(world: Any) -> None:
    for path in world.ledger.path.parent.glob("ledger.db-*"):
        path.unlink()
    world.ledger.path.write_bytes(b"x" * 8192)
    done = world.play()
    assert done.returncode != 0 and world.release == "2"
    assert "cannot be used" in done.stdout


def test_a_ledger_that_is_locked_changes_nothing(world: Any) -> None:
    other = sqlite3.connect(world.ledger.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        done = world.play()
        assert done.returncode != 0 and world.release == "2"
        assert "locked" in done.stdout
    finally:
        other.close()


def test_a_new_incident_number_does_not_reset_attempts(world: Any) -> None:
    """After one attempt that did not help the remedy is not taken again under another number."""
    assert world.play().returncode == 0 and world.release == "1"
    (world.root / "app" / "current").unlink()
    (world.root / "app" / "current").symlink_to("releases/2")
    with world.ledger.transaction() as connection:
        from sre_responder.ledger import incidents

        incidents.open_(
            connection, world.ledger.now(connection), id="INC-5678", service="checkout", environment="staging",
            severity="SEV3", title="again", actor="test",
        )  # fmt: skip
    world.play("-e", json.dumps({"incident": "INC-5678"}))
    assert (world.release, world.started()) == ("2", 1)


def test_two_processes_that_race_for_one_target_act_once(world: Any) -> None:
    command = [str(Path(world.environ["PATH"].split(":")[0]) / "ansible-playbook"), "-e",
               json.dumps({"incident": "INC-1234", "service": "checkout", "target": "staging"}), str(world.book / "runbook.yml")]  # fmt: skip
    runs = [
        subprocess.Popen(command, env=world.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    for run in runs:
        run.wait(60)
    assert (world.release, world.started()) == ("1", 1)
