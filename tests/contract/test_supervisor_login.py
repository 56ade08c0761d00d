"""A supervisord that asks for a login: the password reaches it, and stands nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bypass.world import Play, World
from bypass.world import world as new_world

pytestmark = pytest.mark.contract

USER, PASSWORD = "ann", "wh1sper-it-n0t"
STEADY = {"command": "sleep 600", "startsecs": 0}


def runbook(server: str, password: str) -> Callable[[Play], None]:
    """The world's runbook restarts a program instead; its password comes from a file beside the home."""

    def change(play: Play) -> None:
        names = {
            name: play["tasks"][1]["sre.responder.release_rollback"][name]
            for name in ("incident", "service", "environment")
        }
        given = {"server": server, "program": "shop", "username": USER, "password": password}
        play["tasks"][1] = {"name": "Restart", "sre.responder.supervisor_restart": {**names, **given}}

    return change


@pytest.mark.parametrize("address", ["unix", "http"])
@pytest.mark.parametrize("through", ["driver", "ansible-playbook"])
def test_a_password_reaches_supervisord_and_is_written_nowhere(
    supervisord: Callable[..., Any], tmp_path: Path, address: str, through: str
) -> None:
    daemon = supervisord(login=f"{USER}:{PASSWORD}", shop=STEADY)
    before = daemon.info("shop")["pid"]
    with new_world(tmp_path / "world") as world:
        (tmp_path / "password").write_text(PASSWORD)
        world.write(runbook(getattr(daemon, address), f"{{{{ lookup('file', '{tmp_path}/password') }}}}"))
        done = world.drive() if through == "driver" else world.play("-vvvvv", "--diff")
        assert daemon.info("shop")["pid"] != before, done.stdout + done.stderr
        assert world.started() == 1
        shown = [world.responder(*words) for words in looks(world)]
        assert PASSWORD not in "".join(one.stdout + one.stderr for one in (done, *shown))
        assert [path for path in files(world.root) if PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("password", ["wrong-0ne-wh1spered", ""])
def test_a_wrong_password_is_named_as_that_and_shown_by_no_message(
    supervisord: Callable[..., Any], tmp_path: Path, password: str
) -> None:
    daemon = supervisord(login=f"{USER}:{PASSWORD}", shop=STEADY)
    before = daemon.info("shop")["pid"]
    with new_world(tmp_path / "world") as world:
        world.write(runbook(daemon.http, password))
        done = world.drive()
        assert (done.returncode, daemon.info("shop")["pid"], world.started()) == (3, before, 0), done.stdout
        assert "Unauthorized" in world.refusals() and "username and password" in world.refusals()
        assert not password or password not in done.stdout + done.stderr + world.refusals()


def looks(world: World) -> list[tuple[str, ...]]:
    """What people look at afterwards."""
    [started] = world.entries("action.started")
    undo = ("undo", str(started.data["attempt"]))
    return [
        ("timeline", "INC-1234", "--json"),
        ("incident", "show", "INC-1234"),
        ("status", "--json"),
        ("guard", "report"),
        undo,
    ]


def files(folder: Path) -> list[Path]:
    """Everything that was written."""
    return [path for path in folder.rglob("*") if path.is_file()]
