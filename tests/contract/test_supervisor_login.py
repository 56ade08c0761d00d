"""A supervisord that asks for a login: the password reaches it, and stands nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
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


def connected(world: World, daemon: Any, secret: dict[str, Any]) -> None:
    """The service names a connection, and the runbook says nothing of server and login."""
    connection = {"platform": "supervisord", "server": daemon.http, "username": USER, "password": secret}
    (world.home.folder / "connections.yml").write_text(yaml.safe_dump({"shop": connection}))
    file = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(file.read_text())
    service["metadata"]["annotations"] |= {
        "responder/supervisord-connection": "shop", "responder/supervisor-program": "shop",
    }  # fmt: skip
    file.write_text(yaml.safe_dump(service))

    def bare(play: Play) -> None:
        options = play["tasks"][1].pop("sre.responder.release_rollback")
        names = {name: options[name] for name in ("incident", "service", "environment")}
        play["tasks"][1] = {"name": "Restart", "sre.responder.supervisor_restart": names}

    world.write(bare)


@pytest.mark.parametrize("kept", ["env", "file"])
def test_a_password_of_a_connection_reaches_supervisord_and_is_written_nowhere(
    supervisord: Callable[..., Any], tmp_path: Path, kept: str
) -> None:
    daemon = supervisord(login=f"{USER}:{PASSWORD}", shop=STEADY)
    before = daemon.info("shop")["pid"]
    (tmp_path / "password").write_text(PASSWORD)
    secret = {"file": str(tmp_path / "password")} if kept == "file" else {"env": "SHOP_WORD"}
    with new_world(tmp_path / "world") as world:
        connected(world, daemon, secret)
        tested = world.responder("connections", "test", SHOP_WORD=PASSWORD)
        assert (tested.returncode, tested.stdout.startswith("ok  shop: supervisord ")) == (0, True), tested.stdout
        done = world.drive(SHOP_WORD=PASSWORD)
        assert daemon.info("shop")["pid"] != before, done.stdout + done.stderr
        shown = [world.responder(*words) for words in (*looks(world), ("connections", "list", "--json"))]
        assert PASSWORD not in "".join(one.stdout + one.stderr for one in (tested, done, *shown))
        assert [path for path in files(world.root) if PASSWORD.encode() in path.read_bytes()] == []


def test_a_connection_whose_password_is_gone_is_refused_and_named(
    supervisord: Callable[..., Any], tmp_path: Path
) -> None:
    daemon = supervisord(login=f"{USER}:{PASSWORD}", shop=STEADY)
    before = daemon.info("shop")["pid"]
    with new_world(tmp_path / "world") as world:
        connected(world, daemon, {"file": f"{tmp_path}/none"})
        tested = world.responder("connections", "test")
        assert (tested.returncode, "password of connection 'shop' cannot be read" in tested.stdout) == (1, True)
        done = world.drive()
        assert (done.returncode, daemon.info("shop")["pid"], world.started()) == (3, before, 0), done.stdout
        assert "password of connection 'shop' cannot be read" in world.refusals()


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
