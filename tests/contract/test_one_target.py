"""One target has many spellings: a milder environment does not get at production's by another one. Asked of real platforms."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World
from bypass.world import world as new_world
from support.answering import answering

from sre_responder.effects import EFFECTS

pytestmark = pytest.mark.contract

STEADY = {"command": "sleep 600", "startsecs": 0}
RESTART, DRAIN = EFFECTS["supervisor_restart"], EFFECTS["haproxy_drain"]
PROGRAMS = [
    ("shop", "shop", True), ("shop", "shop:shop", True), ("shop", "shop:*", True), ("shop:shop", "shop", True),
    ("shop:*", "shop", True), ("shop:*", "shop:shop", True), ("shop", "pay", False), ("shop", "pay:shop", False),
    ("shop", "pay:*", False), ("pool:*", "one", True), ("pool:*", "pool:two", True), ("one", "pool:one", True),
    ("one", "pool:*", True), ("pool:one", "pool:two", False), ("pool:*", "shop", False),
]  # fmt: skip


@pytest.fixture
def daemon(supervisord: Callable[..., Any]) -> Any:
    return supervisord(more="[group:pool]\nprograms=one,two\n", shop=STEADY, pay=STEADY, one=STEADY, two=STEADY)


def test_a_supervisord_is_one_at_each_of_its_sockets_and_ports(
    supervisord: Callable[..., Any], free_port: Callable[[], int], short: Path
) -> None:
    port = free_port()
    more = f"[unix_http_server:two]\nfile={short}/two\n[inet_http_server:two]\nport=127.0.0.1:{port}\n"
    daemon = supervisord(more=more, shop=STEADY)
    ways = [daemon.unix, daemon.http, f"unix://{short}/two", f"http://localhost:{port}"]
    for own in ways:
        words = {"server": own, "program": "shop"}
        change = RESTART.plan(words)
        for other in ways:
            assert RESTART.same(change, words, {"server": other, "program": "shop"}), (own, other)


def test_what_the_name_of_a_whole_group_means_is_the_group(daemon: Any) -> None:
    words = {"server": daemon.unix, "program": "pool:*"}
    assert RESTART.same(RESTART.plan(words), words, {"server": daemon.unix, "program": "pool"})


def test_a_program_is_one_by_itself_with_its_group_and_as_one_of_its_group(daemon: Any) -> None:
    for own, other, expected in PROGRAMS:
        words = {"server": daemon.unix, "program": own}
        found = RESTART.same(RESTART.plan(words), words, {"server": daemon.unix, "program": other})
        assert found is expected, (own, other)


def spellings(daemon: Any, tmp_path: Path) -> list[str]:
    path, port = daemon.unix.removeprefix("unix://"), daemon.http.rpartition(":")[2]
    (tmp_path / "link").symlink_to(path)
    local = [f"http://{host}:{port}{end}" for host in ("localhost", "127.0.0.1", "127.1") for end in ("", "/", "/RPC2")]
    return [
        daemon.unix,
        path,
        f"unix:{path}",
        f"unix://{tmp_path}/link",
        *local,
        f"HTTP://{socket.gethostname()}:{port}",
    ]


def test_a_supervisord_is_one_at_its_socket_and_at_every_address_of_its_port(daemon: Any, tmp_path: Path) -> None:
    others = spellings(daemon, tmp_path)
    targets = {RESTART.plan({"server": one, "program": "shop"}).target for one in others if one.startswith("http:")}
    assert len(targets) == 1, targets
    for own in (daemon.unix, daemon.http, f"{daemon.http}/RPC2"):
        words = {"server": own, "program": "shop"}
        change = RESTART.plan(words)
        for other in others:
            assert RESTART.same(change, words, {"server": other, "program": "shop"}), (own, other)


def test_where_nobody_listens_or_another_machine_is_no_supervisord_of_this_one(daemon: Any, tmp_path: Path) -> None:
    for own in (daemon.unix, daemon.http):
        words = {"server": own, "program": "shop"}
        change = RESTART.plan(words)
        nobody = (
            "http://127.0.0.1:1",
            "http://supervisor.invalid:9001",
            f"unix://{tmp_path}/none",
            "http://[",
            "http://x:99999",
        )
        for other in nobody:
            assert not RESTART.same(change, words, {"server": other, "program": "shop"}), (own, other)


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail ESMTP\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 403 No\r\n\r\n"]
)
def test_what_does_not_say_which_supervisord_it_is_may_be_the_same(daemon: Any, answer: bytes) -> None:
    words = {"server": daemon.unix, "program": "shop"}
    with answering(answer) as url:
        assert RESTART.same(RESTART.plan(words), words, {"server": url, "program": "shop"})


def test_a_supervisord_that_wants_a_login_may_be_the_same(supervisord: Callable[..., Any]) -> None:
    daemon = supervisord(login="ann:s3cret", shop=STEADY)
    words = {"server": daemon.unix, "program": "shop", "username": "ann", "password": "s3cret"}
    assert RESTART.same(RESTART.plan(words), words, {"server": daemon.http, "program": "shop"})


def test_a_haproxy_is_one_at_each_of_its_sockets(haproxy: Callable[..., Any], tmp_path: Path) -> None:
    proxy = haproxy()
    words = {"socket": proxy.sockets["admin"], "backend": "checkout", "server": "east"}
    change = DRAIN.plan(words)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    for path, expected in {
        proxy.sockets["user"]: True, proxy.sockets["operator"]: True, f"{tmp_path}/none": False, f"{tmp_path}/dead": False,
    }.items():  # fmt: skip
        assert DRAIN.same(change, words, {"socket": path, "backend": "checkout"}) is expected, path
    assert not DRAIN.same(change, words, {"socket": proxy.sockets["user"], "backend": "pay"})
    assert DRAIN.same(change, words, {"socket": proxy.sockets["user"]}), "which backend is not said"


def test_a_backend_whose_servers_follow_those_of_another_is_reached_with_it(haproxy: Callable[..., Any]) -> None:
    proxy = haproxy(
        "check inter 50ms",
        more="backend prd\n  server a 127.0.0.1:9 track checkout/east\nbackend own\n  server b 127.0.0.1:9",
    )
    words = {"socket": proxy.sockets["admin"], "backend": "checkout", "server": "east"}
    change = DRAIN.plan(words)
    found = {
        name: DRAIN.same(change, words, {"socket": proxy.sockets["admin"], "backend": name})
        for name in ("prd", "own", "none")
    }
    assert found == {"prd": True, "own": False, "none": False}


@pytest.mark.parametrize("program", ["shop", "shop:shop", "shop:*"])
@pytest.mark.parametrize("address", ["unix", "http"])
def test_production_s_program_is_not_restarted_under_a_milder_name(
    daemon: Any, tmp_path: Path, address: str, program: str
) -> None:
    before = daemon.info("shop")["pid"]
    with new_world(tmp_path / "world") as world:
        restart = {"server": daemon.unix, "program": "shop"}
        world.write(lambda play: restarting(play, restart))
        production(world, {"server": getattr(daemon, address), "program": program})
        done = world.drive()
        assert (done.returncode, daemon.info("shop")["pid"], world.started()) == (3, before, 0), done.stdout
        assert "that of pay in production" in world.refusals()


def test_production_s_program_is_not_restarted_with_a_release_of_a_milder_environment(
    daemon: Any, tmp_path: Path
) -> None:
    before = daemon.info("shop")["pid"]
    with new_world(tmp_path / "world") as world:
        chosen = {"supervisor": {"server": daemon.unix, "program": "shop"}}
        world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(restart=chosen))
        production(world, {"server": daemon.http, "program": "shop:*"})
        done = world.drive()
        assert (done.returncode, daemon.info("shop")["pid"], world.release) == (3, before, "2"), done.stdout
        assert "that of pay in production" in world.refusals()


def restarting(play: dict[str, Any], given: dict[str, str]) -> None:
    """Turn the rollback of the world's runbook into a restart."""
    [old] = [name for name in play["tasks"][1] if name.endswith("release_rollback")]
    named = {
        key: value for key, value in play["tasks"][1].pop(old).items() if key in ("incident", "service", "environment")
    }
    play["tasks"][1]["sre.responder.supervisor_restart"] = {**named, **given}


def production(world: World, way: dict[str, str]) -> None:
    """The staging service restarts `shop`; the program is also that of a service of production, reached in another way."""
    annotations = {f"responder/supervisor-{option}": value for option, value in way.items()}
    metadata = {"name": "pay", "annotations": {"responder/environments": "production", **annotations}}
    catalogue = world.home.folder / "catalogue.yml"
    mine = yaml.safe_load(catalogue.read_text())
    catalogue.write_text(yaml.safe_dump_all([mine, {**mine, "metadata": metadata}]))
