"""`release_rollback` with `restart`: what runs the release comes back under the other one, by the act and by its undo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bypass import world as guarded
from bypass.world import World
from support.dripping import dripping

pytestmark = pytest.mark.contract

SERVES = "readlink {app}/current >{root}/serves; exec sleep 600"
"""A program that resolves `current` when it starts, as most do."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with guarded.world(tmp_path) as here:
        yield here


@pytest.fixture
def shop(world: World, supervisord: Callable[..., Any], origin: Callable[..., Any]) -> Callable[..., Any]:
    """`shop(COMMAND, restart)` runs a program under release 2; its probe says it is well once the program runs release 1."""

    def make(command: str = SERVES, **restart: Any) -> Any:
        words = command.format(root=world.root, app=world.root / "app")
        daemon = supervisord(shop={"command": f"/bin/sh -c '{words}'", "startsecs": 1, "startretries": 0})
        probe = origin(lambda: json.dumps({"ok": serves(world) == "1"}))

        def restarting(play: dict[str, Any]) -> None:
            play["vars"]["runbook"]["success"]["url"] = f"http://127.0.0.1:{probe.port}/"
            chosen = restart or {"supervisor": {"server": daemon.unix, "program": "shop"}}
            play["tasks"][1]["sre.responder.release_rollback"]["restart"] = {**chosen, "seconds": 5}

        world.write(restarting)
        return daemon

    return make


def serves(world: World) -> str:
    file = world.root / "serves"
    return file.read_text().strip().rpartition("/")[2] if file.exists() else ""


def test_program_runs_the_earlier_release_and_after_the_undo_the_later_one(
    world: World, shop: Callable[..., Any]
) -> None:
    daemon = shop()
    before = daemon.info("shop")["pid"]
    assert serves(world) == "2"
    done = world.drive()
    assert (done.returncode, world.release, serves(world)) == (0, "1", "1"), done.stderr
    assert daemon.info("shop")["pid"] != before
    undone = world.responder("undo", "1")
    assert (undone.returncode, world.release, serves(world)) == (0, "2", "2"), undone.stderr


def test_check_mode_switches_and_restarts_nothing(world: World, shop: Callable[..., Any]) -> None:
    daemon = shop()
    before = daemon.info("shop")["pid"]
    done = world.play("--check", "--diff")
    assert (done.returncode, world.release, daemon.info("shop")["pid"]) == (0, "2", before), done.stdout


@pytest.mark.parametrize(
    ("restart", "why"),
    [
        ({"supervisor": {"server": "unix:///nowhere.sock", "program": "shop"}}, "cannot be asked"),
        ({"supervisor": {"server": "http://ann:secret@127.0.0.1:1", "program": "shop"}}, "without user name and password"),
        ({"http": {"url": "ftp://127.0.0.1/"}}, "must begin with http"),
        ({"http": {"url": "http://x/"}, "supervisor": {"server": "unix:///x", "program": "x"}}, "mutually exclusive"),
        ({"systemd": {"unit": "shop.service"}}, "systemd"),
    ],
)  # fmt: skip
def test_restart_that_cannot_be_done_is_refused_before_anything_is_switched(
    world: World, shop: Callable[..., Any], restart: dict[str, Any], why: str
) -> None:
    shop(**restart)
    done = world.drive()
    said = done.stdout + done.stderr
    assert done.returncode == 3 and why in " ".join(said.split()), said
    assert (world.release, world.started()) == ("2", 0)
    assert "secret" not in said + world.refusals()


def test_supervisord_that_answers_its_host_one_byte_at_a_time_holds_nobody_and_nothing(tmp_path: Path) -> None:
    with dripping(0.2) as (address, gone), guarded.world(tmp_path, deadlines={"plan_seconds": 3}) as world:

        def restarting(play: dict[str, Any]) -> None:
            chosen = {"supervisor": {"server": address, "program": "shop"}}
            play["tasks"][1]["sre.responder.release_rollback"]["restart"] = chosen

        world.write(restarting)
        done = world.play()
        assert "planning took longer than 3 s" in " ".join((done.stdout + done.stderr).split()), done.stdout
        assert (world.release, world.started()) == ("2", 0)
        assert gone.wait(20), "what looked on the host has ended"


def test_switch_whose_restart_fails_is_frozen_with_what_was_changed_and_can_be_undone(
    world: World, shop: Callable[..., Any]
) -> None:
    shop("[ $(basename $(readlink {app}/current)) = 2 ] || exit 3; " + SERVES)
    done = world.drive()
    assert (done.returncode, world.release) == (5, "1")
    assert "current points at 1 now, and shop did not come back" in " ".join((done.stdout + done.stderr).split())
    target = world.entries("action.started")[0].data["target"]
    assert "it was done" in world.responder("settle", target).stderr
    undone = world.responder("undo", "1")
    assert (undone.returncode, world.release, serves(world)) == (0, "2", "2"), undone.stderr


def test_hook_over_http_is_called_once_after_the_switch_and_a_bad_answer_is_told(
    world: World, shop: Callable[..., Any], origin: Callable[..., Any]
) -> None:
    def reload() -> str:
        (world.root / "serves").write_text(f"releases/{world.release}")
        return "{}"

    hook = origin(reload)
    shop(http={"url": f"http://127.0.0.1:{hook.port}/reload?key=k1", "method": "GET"})
    done = world.drive()
    assert (done.returncode, serves(world)) == (0, "1"), done.stderr
    assert "key=k1" not in done.stdout + done.stderr
