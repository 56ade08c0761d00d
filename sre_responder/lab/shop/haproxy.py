"""HAProxy's runtime language, for one backend: what HAProxy 2.6 answers to the same words, byte for byte."""

from __future__ import annotations

import csv
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BACKEND = "checkout"
RECORDED = Path(__file__).with_name("show_stat.csv")
"""`show stat` of a HAProxy with this frontend and backend: its columns, and what stands in those that stay the same here."""
STATUS = {"ready": "no check", "drain": "DRAIN", "maint": "MAINT"}
ADMIN_STATE = {"ready": 0, "maint": 1, "drain": 8}
STATE_COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port"
)
USAGE = (
    "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | "
    "check-port | fqdn | health | ssl | state | weight\n"
)
HELP = """Unknown command. Please enter one of the following commands only:
  get weight <bk>/<srv>                   : report a server's current weight
  set server <bk>/<srv> [opts]            : change a server's state or weight
  show info                               : report information about the running process
  show servers state [<backend>]          : dump volatile server information (all or for a single backend)
  show stat                               : report counters for each proxy and server
"""


@dataclass
class Server:
    """One region behind the edge, as an admin set it and as traffic went through it."""

    name: str
    port: int
    state: str = "ready"
    weight: int = 100
    initial_weight: int = 100
    check_health: int = 2  # of a server without checks: 2, and 0 for ever once it was in maintenance
    changed: float = field(default_factory=time.monotonic)
    current: int = 0
    total: int = 0
    answers: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(1, 6), 0))

    @property
    def usable(self) -> bool:
        return self.state == "ready" and self.weight > 0


class Backend:
    """The servers, which of them takes the next request, and the answers to runtime commands."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = {server.name: server for server in servers}
        self.started = self.changed = time.monotonic()
        self.times_down = 0
        self.lock = threading.Lock()
        with RECORDED.open(newline="") as file:
            self.columns, *rows = list(csv.reader(file))
        self.recorded = dict(zip(("FRONTEND", "server", "BACKEND"), rows, strict=True))

    def choose(self) -> Server | None:
        """The server for one request, by weight; None when none is usable."""
        usable = [server for server in self.servers.values() if server.usable]
        if not usable:
            return None
        (server,) = random.choices(usable, [server.weight for server in usable])
        with self.lock:
            server.current += 1
            server.total += 1
        return server

    def done(self, server: Server, status: int) -> None:
        """Count the answer that a chosen server gave."""
        with self.lock:
            server.current -= 1
            server.answers[status // 100] += 1

    def answer(self, line: str) -> str:
        """What a line of commands, divided by semicolons, is answered."""
        return "".join(self._one(command.split()) + "\n" for command in line.split(";"))

    def _one(self, words: list[str]) -> str:
        match words:
            case ["show", "stat"]:
                return self._stat()
            case ["show", "stat", name, "4", "-1"]:
                return self._stat(servers_only=True) if name == BACKEND else "No such proxy.\n"
            case ["show", "cli", "level"]:
                return "admin\n"
            case ["show", "backend"]:
                return f"# name\n{BACKEND}\n"
            case ["show", "servers", "state", *named]:
                return self._servers_state() if named in ([], [BACKEND]) else "Can't find backend.\n"
            case ["show", "info"]:
                return self._info()
            case ["get", "weight", *named]:
                server = self._find(named)
                if isinstance(server, str):
                    return server
                return f"{server.weight} (initial {server.initial_weight})\n"
            case ["set", "server", *rest]:
                server = self._find(rest)
                return server if isinstance(server, str) else self._set(server, rest[1:])
        return HELP

    def _find(self, named: list[str]) -> Server | str:
        backend, slash, name = (named or [""])[0].partition("/")
        if not slash:
            return "Require 'backend/server'.\n"
        if backend != BACKEND:
            return "No such backend.\n"
        return self.servers.get(name, "No such server.\n")

    def _set(self, server: Server, words: list[str]) -> str:
        was_up = self._up()
        match words:
            case ["state", ("ready" | "drain" | "maint") as state]:
                if state != server.state:
                    server.state, server.changed = state, time.monotonic()
                if state == "maint":
                    server.check_health = 0
            case ["state", *_]:
                return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
            case ["weight", text]:
                weight = _weight(text, server.initial_weight)
                if isinstance(weight, str):
                    return weight
                server.weight = weight
            case ["weight"]:
                return "Require <weight> or <weight%>.\n"
            case _:
                return USAGE
        if self._up() != was_up:
            self.changed = time.monotonic()
            self.times_down += was_up
        return ""

    def _up(self) -> bool:
        return any(server.usable for server in self.servers.values())

    def _stat(self, servers_only: bool = False) -> str:
        servers = list(self.servers.values())
        usable = [server for server in servers if server.usable]
        weight = sum(server.weight for server in usable)
        counts = {
            "scur": sum(server.current for server in servers),
            "stot": sum(server.total for server in servers),
            **{f"hrsp_{kind}xx": sum(server.answers[kind] for server in servers) for kind in range(1, 6)},
        }
        rows = [self._row("FRONTEND", counts)]
        for number, server in enumerate(servers, 1):
            live = {
                "svname": server.name, "scur": server.current, "stot": server.total, "lbtot": server.total,
                "status": STATUS[server.state], "weight": server.weight, "uweight": server.weight, "sid": number,
                "lastchg": _seconds(server.changed), "addr": f"127.0.0.1:{server.port}",
                **{f"hrsp_{kind}xx": count for kind, count in server.answers.items()},
            }  # fmt: skip
            rows.append(self._row("server", live))
        if servers_only:
            return "\n".join([",".join(self.columns), *rows[1:], ""])
        live = {
            **counts, "lbtot": counts["stot"], "status": "UP" if usable else "DOWN", "weight": weight,
            "uweight": weight, "act": len(usable), "chkdown": self.times_down, "lastchg": _seconds(self.changed),
        }  # fmt: skip
        return "\n".join([",".join(self.columns), *rows, self._row("BACKEND", live), ""])

    def _row(self, kind: str, live: Mapping[str, object]) -> str:
        values = dict(zip(self.columns, self.recorded[kind], strict=True)) | {
            key: str(value) for key, value in live.items()
        }
        return ",".join(values[column] for column in self.columns)

    def _servers_state(self) -> str:
        rows = [
            f"3 {BACKEND} {number} {server.name} 127.0.0.1 {0 if server.state == 'maint' else 2} "
            f"{ADMIN_STATE[server.state]} {server.weight} {server.initial_weight} {_seconds(server.changed)} "
            f"1 0 {server.check_health} 0 0 0 0 - {server.port} - 0 0 - - 0"
            for number, server in enumerate(self.servers.values(), 1)
        ]
        return "\n".join(["1", f"# {STATE_COLUMNS}", *rows, ""])

    def _info(self) -> str:
        total = sum(server.total for server in self.servers.values())
        up = _seconds(self.started)
        facts = {
            "Name": "HAProxy", "Version": "2.6-lab", "Nbproc": 1, "Process_num": 1, "Pid": os.getpid(),
            "Uptime": f"{up // 86400}d {up // 3600 % 24}h{up // 60 % 60:02}m{up % 60:02}s", "Uptime_sec": up,
            "CurrConns": sum(server.current for server in self.servers.values()), "CumConns": total, "CumReq": total,
            "node": os.uname().nodename, "Stopping": 0,
        }  # fmt: skip
        return "".join(f"{name}: {value}\n" for name, value in facts.items())


def _weight(text: str, initial: int) -> int | str:
    found = re.match(r"[+-]?[0-9]+", text)
    if not found:
        return "Empty weight string empty or preceded by garbage"
    number, rest = int(found.group()), text[found.end() :]
    if rest == "%":
        return min(initial * number // 100, 256) if number >= 0 else "Relative weight must be positive.\n"
    if rest:
        return "Trailing garbage in weight string"
    return number if 0 <= number <= 256 else "Absolute weight can only be between 0 and 256 inclusive.\n"


def _seconds(since: float) -> int:
    return int(time.monotonic() - since)
