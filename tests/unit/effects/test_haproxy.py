"""What answers at HAProxy's socket and is not HAProxy: bad input, never a plan and never a crash."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sre_responder.effects.haproxy import DRAIN, FAILOVER
from sre_responder.errors import InputError, StateMoved

HEAD = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n"


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[Path]:
    """A socket that gives the same answer to every command."""

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if not connection.recv(65536):
                    return
                with suppress(BrokenPipeError):  # the reader may have had enough
                    connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            with socket.socket(socket.AF_UNIX) as last:  # says nothing, which ends the serving
                last.connect(str(path))
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"Permission denied\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"Unknown command.\nhelp : this message\n",
        b"\xff\x00\xfe\n\x00\n",
        b"1\n# be_name srv_name\ncheckout east\n",
        HEAD.encode() + b"3 checkout\n",
        HEAD.encode() + b"3 checkout 1 east up 0 1 1\n",
        HEAD.encode() + b"3 checkout 1 east 2 0 1 1\n",  # and no statistics
        HEAD.encode(),
        b"Can't find backend.\n",
        HEAD.encode() + b"# x" * 100_000,
    ],
)
def test_an_answer_without_servers_of_the_backend_is_bad_input(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "s", answer) as path, pytest.raises(InputError):
        FAILOVER.plan({"socket": path, "backend": "checkout", "to": "east"})


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, Path.mkdir, os.mkfifo])
def test_what_is_no_socket_is_bad_input(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "s")
    with pytest.raises(InputError, match="show servers state"):
        FAILOVER.plan({"socket": tmp_path / "s", "backend": "checkout", "to": "east"})


@pytest.mark.parametrize("option", ["backend", "to"])
@pytest.mark.parametrize("value", ["", "a b", "a\nset server x/y state maint", "a;b", "{{ x }}", "\u0430", "x" * 129])
def test_a_name_that_could_be_another_command_is_refused(tmp_path: Path, option: str, value: str) -> None:
    rows = HEAD + "3 checkout 1 east 2 0 1 1\n3 checkout 2 west 2 0 1 1\n"
    with answering(tmp_path / "s", rows.encode()) as path, pytest.raises(InputError, match=f"^{option} '"):
        FAILOVER.plan({"socket": path, "backend": "checkout", "to": "east", option: value})


def test_an_answer_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    with (
        answering(tmp_path / "s", HEAD.encode() + b"x" * (2 << 20)) as path,
        pytest.raises(InputError, match="more than"),
    ):
        FAILOVER.plan({"socket": path, "backend": "checkout", "to": "east"})


def test_one_byte_at_a_time_is_read_until_the_deadline_only(tmp_path: Path) -> None:
    ended = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            while not ended.wait(0.02):
                connection.sendall(b"1")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(InputError, match="timed out"):
            FAILOVER.plan({"socket": tmp_path / "s", "backend": "checkout", "to": "east", "timeout_s": 0.2})
        ended.set()
        thread.join()


SERVING, SPARE, REPAIR, STANDBY = (2, 0x00), (0, 0x20), (0, 0x01), (0, 0x05)
NO_ADDRESS = (0, 0x05, 1, 1, 0, "", "0.0.0.0")
"""A slot that the configuration keeps free: `server slot1 0.0.0.0:0 disabled`."""
ENABLED = (2, 0x04)
"""A server that the configuration disables and somebody enabled since: bit 4 stays."""


class Proxy:
    """HAProxy's answers for servers of (srv_op_state, srv_admin_state, weight, configured weight, backup, tracked, srv_addr)."""

    def __init__(self, level: str = "admin", **servers: tuple[object, ...]) -> None:
        defaults = (2, 0, 1, 1, 0, "", "10.0.0.1")
        self.servers = {name: [*given, *defaults[len(given) :]] for name, given in servers.items()}
        self.level = level
        self.sent: list[str] = []

    def ask(self, arguments: Mapping[str, Any], command: str) -> str:
        match command.split():
            case ["show", "servers", "state", _]:
                return HEAD + "".join(
                    f"3 b 1 {n} {s[6]} {s[0]} {s[1]} {s[2]} {s[3]}\n" for n, s in self.servers.items()
                )
            case ["show", "stat", *_]:
                rows = "".join(f"b,{n},{s[4]},{s[5]}\n" for n, s in self.servers.items())
                return f"# pxname,svname,bck,tracked\n{rows}"
            case ["show", "cli", "level"]:
                return f"{self.level}\n\n"
            case ["set", "server", server, "state", state]:
                self.sent.append(command)
                found = self.servers[server.partition("/")[2]]
                kept = int(str(found[1])) & 0x04
                found[:2] = {"ready": [2, kept], "drain": [2, kept | 8], "maint": [0, kept | 1]}[state]
        return "\n"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Proxy]:
    def make(level: str = "admin", **servers: tuple[object, ...]) -> Proxy:
        made = Proxy(level, **servers)
        monkeypatch.setattr("sre_responder.effects.haproxy._ask", made.ask)
        return made

    return make


WORDS = {"socket": "/s", "backend": "b", "timeout_s": 0.2}


def test_a_standby_that_the_configuration_disables_takes_the_traffic_and_reads_ready(proxy: Any) -> None:
    world = proxy(east=SERVING, west=STANDBY)
    words = {**WORDS, "to": "west"}
    change = FAILOVER.plan(words)
    assert change.before == {"east": "ready", "west": "maint"}
    assert FAILOVER.act(words, change) == {"east": "drain", "west": "ready"}
    assert world.servers["west"][:2] == list(ENABLED)
    assert FAILOVER.became(change, FAILOVER.read(words)) == "done"
    [undo] = change.undo
    assert undo["name"] == "Set servers of b back: east to ready, west to maint"
    said = undo["ansible.builtin.command"]["argv"]
    assert said[3:] == ["/s", "set server b/east state ready", "set server b/west state maint"]


def test_a_failover_that_stops_in_the_middle_reads_cut_short(proxy: Any) -> None:
    world = proxy(east=SERVING, west=STANDBY)
    change = FAILOVER.plan({**WORDS, "to": "west"})
    world.servers["west"][:2] = ENABLED
    assert FAILOVER.became(change, FAILOVER.read(WORDS)) == "cut_short"


@pytest.mark.parametrize("held", [SPARE, REPAIR, STANDBY, (0, 0x02), (0, 0x21), (0, 0x40 | 0x01)])
def test_servers_in_maintenance_are_not_touched_and_count_neither_way(proxy: Any, held: tuple[int, int]) -> None:
    world = proxy(one=SERVING, two=SERVING, idle1=held, idle2=held, idle3=held)
    words = {**WORDS, "to": "one", "server": "one"}
    assert DRAIN.plan(words).capacity == 0.5
    FAILOVER.act(words, FAILOVER.plan(words))
    assert world.sent == ["set server b/two state drain"]
    assert not DRAIN.plan({**words, "server": "idle1"}).changed


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (SPARE, "it has no address.*set server b/two addr ADDRESS port PORT"),
        (NO_ADDRESS, "it has no address.*set server b/two addr ADDRESS port PORT"),
        (REPAIR, "a person put it there.*'set server b/two state ready'"),
        ((0, 0x02, 1, 1, 0, "b/one"), "it tracks b/one.*Enable b/one"),
        ((2, 0, 0), "ready, up, weight 0"),
        ((0, 0), "ready, down, weight 1"),
        ((2, 0, 1, 1, 0, "b/one"), "tracks b/one, which the failover would drain"),
    ],
)
def test_traffic_goes_nowhere_where_it_could_not_stay(proxy: Any, to: tuple[object, ...], told: str) -> None:
    proxy(one=SERVING, two=to)
    with pytest.raises(InputError, match=told):
        FAILOVER.plan({**WORDS, "to": "two"})


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ([SERVING], 1 / 2),
        ([SERVING, ENABLED], 2 / 3),
        ([SERVING, (2, 0x08)], 1 / 3),  # drained: in service, and takes nothing
        ([SERVING, (0, 0)], 1 / 3),  # down
        ([(1, 0)], 1 / 2),  # slowly starting
        ([SERVING, (2, 0, 0, 1)], 1 / 3),  # its weight was set to 0
        ([SERVING, (2, 0, 0, 0)], 1 / 2),  # its weight is 0 in the configuration
        ([(2, 0, 3, 3)], 3 / 4),
        ([SERVING, (2, 0, 1, 1, 1)], 1 / 2),  # a backup takes nothing as long as another server is left
        ([(2, 0, 1, 1, 1)], 1),
        ([SERVING, (2, 0, 1, 1, 0, "b/one")], 1 / 3),  # goes out together with what it tracks
    ],
)
def test_capacity_is_the_share_of_weight_that_goes_on_taking_traffic(
    proxy: Any, others: list[tuple[object, ...]], left: float
) -> None:
    proxy(one=SERVING, **{f"other{number}": server for number, server in enumerate(others)})
    assert DRAIN.plan({**WORDS, "server": "one"}).capacity == pytest.approx(left)


def test_a_server_that_only_followers_could_relieve_is_the_last_one(proxy: Any) -> None:
    proxy(one=SERVING, two=(2, 0, 1, 1, 0, "b/one"))
    with pytest.raises(InputError, match="'one' is the last usable server"):
        DRAIN.plan({**WORDS, "server": "one"})


@pytest.mark.parametrize("level", ["user", "operator", "", "Unknown command"])
def test_a_socket_that_may_not_write_is_refused_while_planning_with_the_cure(proxy: Any, level: str) -> None:
    world = proxy(level, one=SERVING, two=SERVING)
    for effect in (DRAIN, FAILOVER):
        with pytest.raises(InputError, match="may not set servers") as refused:
            effect.plan({**WORDS, "server": "one", "to": "one"})
        assert "level admin" in refused.value.cure
    assert not world.sent


def test_a_link_that_leads_to_another_socket_since_the_plan_changes_nothing(proxy: Any, tmp_path: Path) -> None:
    world, link = proxy(east=SERVING, west=SERVING), tmp_path / "link"
    link.symlink_to(tmp_path / "one")
    words = {**WORDS, "socket": link, "to": "west"}
    change = FAILOVER.plan(words)
    link.unlink()
    link.symlink_to(tmp_path / "two")
    with pytest.raises(StateMoved, match="two"):
        FAILOVER.act(words, change)
    assert not world.sent


def test_a_spare_slot_that_got_an_address_since_the_plan_makes_it_void(proxy: Any) -> None:
    world = proxy(east=SERVING, west=SERVING, slot=SPARE)
    words = {**WORDS, "to": "west"}
    change = FAILOVER.plan(words)
    world.servers["slot"][:2] = SERVING
    with pytest.raises(StateMoved):
        FAILOVER.act(words, change)
    assert not world.sent
