"""Undo: nothing that a target is named runs code, only the capsule of the act is run, and nobody's later work is taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bypass.world import World
from sqlalchemy import text, update

from sre_responder.drive.ask import ask
from sre_responder.ledger import schema

CODE = "{{ lookup('pipe', 'touch MARK') }}"


def rolled_back(world: World, to: str = "1") -> int:
    """Roll back to a release, which heals; gives the attempt."""
    world.heals(to)
    world.write()
    assert world.drive().returncode == 0
    [started] = world.entries("action.started")
    return int(started.data["attempt"])


def test_a_release_that_is_named_like_a_template_runs_no_code_when_it_is_undone(world: World) -> None:
    evil = CODE.replace("MARK", "mark").replace("/", "")
    app, mark = world.root / "app", world.root / "mark"
    (app / "releases" / evil).mkdir()
    (app / "current").unlink()
    (app / "current").symlink_to(f"releases/{evil}")
    attempt = rolled_back(world, "2")
    [capsule] = (world.home.state / "undo").glob("*.yml")
    by_hand = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), str(capsule)],
        env=world.environ, cwd=world.root, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (by_hand.returncode, world.release, mark.exists()) == (0, evil, False), by_hand.stdout
    world.put_back("2")
    undone = world.responder("undo", str(attempt))
    assert (undone.returncode, world.release, mark.exists()) == (0, evil, False), undone.stderr
    assert not list(world.root.rglob("mark"))


def test_an_argument_that_is_a_template_runs_no_code_when_a_host_is_asked(world: World) -> None:
    mark = world.root / "asked"
    answer = ask("localhost", "ansible.builtin.stat", {"path": CODE.replace("MARK", str(mark))}, world.home)
    assert (answer["stat"]["exists"], mark.exists()) == (False, False)


def test_an_undo_that_was_written_into_the_ledger_is_not_run(world: World) -> None:
    attempt, mark = rolled_back(world), world.root / "mark"
    play = {"hosts": "localhost", "tasks": [{"ansible.builtin.command": f"touch {mark}"}]}
    with world.ledger.transaction() as connection:
        connection.execute(update(schema.plans).values(undo=json.dumps([play])))
    refused = world.responder("undo", str(attempt))
    assert (refused.returncode, world.release, mark.exists()) == (3, "1", False), refused.stderr
    assert "is not the one that was written before the act" in refused.stderr
    assert world.responder("audit", "verify").returncode == 0


def test_nothing_is_undone_by_a_record_that_was_rewritten(world: World) -> None:
    attempt = rolled_back(world)
    with world.ledger.transaction() as connection:
        for trigger in (
            connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        ):
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(update(schema.audit).where(schema.audit.c.type == "action.started").values(actor="mallory"))
    refused = world.responder("undo", str(attempt))
    assert (refused.returncode, world.release) == (3, "1")
    assert "the record is broken at entry" in refused.stderr


def test_an_undo_never_points_at_a_release_that_is_gone(world: World) -> None:
    attempt = rolled_back(world)
    (world.root / "app" / "releases" / "2").rmdir()
    refused = world.responder("undo", str(attempt))
    assert (refused.returncode, world.release) == (3, "1")
    assert "releases/2 is gone" in refused.stderr


@pytest.mark.parametrize("profile", ["production", "homelab"])
def test_an_undo_does_not_take_away_a_newer_deployment(world: World, profile: str) -> None:
    attempt = rolled_back(world)
    policy = world.home.folder / "policy.yml"
    policy.write_text(policy.read_text().replace("profile: production", f"profile: {profile}"))
    (world.root / "app" / "releases" / "3").mkdir()
    world.put_back("3")
    refused = world.responder("undo", str(attempt))
    assert (refused.returncode, world.release) == (3, "3"), refused.stderr
    assert f"since attempt {attempt} left it" in refused.stderr
    assert ("responder approve" in refused.stderr) == (profile == "production")


def test_what_came_later_is_undone_first(world: World) -> None:
    """The undo of the earlier one would put back a state that the later one has left, and leave the later one without its own."""
    app = world.root / "app"
    (app / "releases" / "0").mkdir()
    (app / "deployments.log").write_text("".join(f"2026-01-0{number + 1}T00:00:00Z {number}\n" for number in range(3)))
    policy = world.home.folder / "policy.yml"
    policy.write_text(policy.read_text().replace("profile: production", "profile: homelab"))
    for release in ("1", "0"):  # neither helps
        world.drive()
        assert world.release == release
        locked = f"staging:checkout:bad-release:release_rollback:{world.entries('action.started')[0].data['target']}"
        allowed = world.responder("reset", locked)
        assert allowed.returncode == 0, allowed.stderr
    refused = world.responder("undo", "1")
    assert (refused.returncode, world.release) == (3, "0"), refused.stderr
    assert "Undo that first: responder undo 2" in refused.stderr
    commands = [
        line for line in world.responder("incident", "show", "INC-1234").stdout.splitlines() if "responder undo" in line
    ]
    assert ["undo 2 " in commands[0], "undo 1 " in commands[1]] == [True, True], commands
    for attempt, release in (("2", "1"), ("1", "2")):
        undone = world.responder("undo", attempt)
        assert (undone.returncode, world.release) == (0, release), undone.stderr
