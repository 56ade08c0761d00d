"""HAProxy through its runtime API: drain and enable servers; every command is read back, for it answers success with nothing."""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sre_responder.effects.action import Action, Options, option
from sre_responder.effects.effect import Became, Change, Effect, Propagation, by_state, here, nobody_there, same_path
from sre_responder.errors import EffectFailed, InputError, StateMoved
from sre_responder.model.names import shown

Arguments = Mapping[str, Any]
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_UNDO = """\
import socket, sys

path, *commands = sys.argv[1:]
for command in commands:
    with socket.socket(socket.AF_UNIX) as haproxy:
        haproxy.settimeout(5)
        haproxy.connect(path)
        haproxy.sendall(command.encode() + b"\\n")
        answer = haproxy.recv(4096).decode().strip()
    if answer:  # HAProxy answers only if the command failed
        sys.exit(command + ": " + answer)
"""
"""What `socat stdio SOCKET` would do, which few machines have: Python is there, for Ansible needs it."""

_LIMIT = 1 << 20
"""The bytes of one answer that are read at most."""


def _ask(arguments: Arguments, command: str) -> str:
    """What HAProxy answers, whole and within `timeout_s`, however slowly it is sent."""
    path, seconds = str(arguments["socket"]), float(arguments.get("timeout_s", 5))
    until, answer = time.monotonic() + seconds, b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            while len(answer) <= _LIMIT and (chunk := connection.recv(65536)):
                answer += chunk
                connection.settimeout(max(0.001, until - time.monotonic()))
        if len(answer) > _LIMIT:
            raise OSError(f"it answers more than {_LIMIT} bytes")
    except OSError as error:
        raise EffectFailed(
            f"'{command}' to HAProxy at {path} failed: {error}.", cure="Check socket, its level (admin) and rights."
        ) from error
    return answer.decode("utf-8", "replace")


_FORCED, _FOLLOWS, _CONFIGURED, _UNRESOLVED = 0x01, 0x02, 0x04, 0x20
_MAINT, _FORCED_DRAIN, _DRAIN = _FORCED | _FOLLOWS | _UNRESOLVED, 0x08, 0x08 | 0x10
"""Bits of srv_admin_state (HAProxy's management guide, "show servers state").

`_CONFIGURED` alone is no maintenance: it stays for ever where the configuration said `disabled`, also after the server was enabled.
"""
_NOWHERE = ("-", "0.0.0.0", "::")
"""Addresses of a spare slot that nobody has filled."""
_TAKES = (1, 2)
"""Values of srv_op_state with traffic: slowly starting, and running."""


@dataclass(frozen=True)
class Server:
    """One server: what was set for it (`show stat` hides that behind DOWN), and whether it takes traffic."""

    bits: int
    running: bool
    weight: int
    configured_weight: int
    backup: bool
    tracks: str
    addressed: bool = True
    sessions: int | None = None
    """How many it serves now; None where it is not said."""

    @property
    def admin(self) -> str:
        """What was set for this very server, and can be set back; a lost address or a tracked server come and go by themselves."""
        return "maint" if self.bits & _FORCED else "drain" if self.bits & _FORCED_DRAIN else "ready"

    @property
    def out(self) -> str:
        """Why it is in maintenance; empty where it is not."""
        if self.bits & _UNRESOLVED or (self.bits & _MAINT and not self.addressed):
            return "it has no address"
        if self.bits & _FOLLOWS:
            return f"it tracks {self.tracks}, which is in maintenance"
        if self.bits & _FORCED:
            return "disabled in the configuration" if self.bits & _CONFIGURED else "a person put it there"
        return ""

    @property
    def standby(self) -> bool:
        """Whether the configuration alone keeps it out of traffic."""
        return self.addressed and self.bits & _MAINT == _FORCED and bool(self.bits & _CONFIGURED)

    @property
    def serves(self) -> bool:
        return self.running and self.weight > 0 and not self.bits & (_MAINT | _DRAIN)

    @property
    def state(self) -> str:
        admin = f"maint ({self.out})" if self.out else "drain" if self.bits & _DRAIN else "ready"
        return f"{admin}, {'up' if self.running else 'down'}, weight {self.weight}{', backup' if self.backup else ''}"


def _servers(arguments: Arguments) -> dict[str, Server]:
    """Every server of the backend."""
    backend, answers = _name(arguments, "backend"), list[str]()
    try:
        answers += [_ask(arguments, f"{table} {backend}{rest}") for table, rest in _TABLES]
        states = [dict(zip(names, line.split(), strict=True)) for names, line in _state_lines(answers[0])]
        stat = {row["svname"]: row for row in csv.DictReader(io.StringIO(answers[1]))}
        found = {row["srv_name"]: _server(row, stat[row["srv_name"]]) for row in states}
    except EffectFailed as error:
        raise InputError(error.message, cure=error.cure) from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        if answers[0].startswith("Can't find backend"):
            raise _no_servers(arguments, backend) from error
        raise InputError(
            f"what answers at {arguments['socket']} is not HAProxy's table of servers: {shown(answers[0], 80)}.",
            cure="Name HAProxy's own runtime socket, of a level that may read it.",
        ) from error
    if not found:
        raise _no_servers(arguments, backend)
    if len(found) < len(states):
        raise InputError(
            f"backend '{backend}' has several servers of one name.",
            cure="Give each its own in HAProxy's configuration.",
        )
    return found


_TABLES = (("show servers state", ""), ("show stat", " 4 -1"))


def _state_lines(text: str) -> list[tuple[list[str], str]]:
    version, columns, *lines = [line for line in text.splitlines() if line.strip()]
    names = columns.removeprefix("# ").split()
    if not version.isdigit() or "srv_admin_state" not in names:
        raise ValueError(version)
    return [(names, line) for line in lines]


def _no_servers(arguments: Arguments, backend: str) -> InputError:
    with suppress(EffectFailed):
        known = ", ".join(sorted(_ask(arguments, "show backend").split("\n")[1:])).strip(", ")
        return InputError(
            f"backend '{backend}' has no servers; HAProxy knows: {shown(known, 1000) or 'none'}.",
            cure="Name one that has servers.",
        )
    return InputError(f"backend '{backend}' has no servers.", cure="Name one that HAProxy has.")


def _server(state: Mapping[str, str], stat: Mapping[str, str]) -> Server:
    return Server(
        bits=int(state["srv_admin_state"]),
        running=int(state["srv_op_state"]) in _TAKES,
        weight=int(state["srv_uweight"]),
        configured_weight=int(state["srv_iweight"]),
        backup=stat["bck"] == "1",
        tracks=stat["tracked"],
        addressed=state["srv_addr"] not in _NOWHERE,
        sessions=int(text) if (text := stat.get("scur")) else None,
    )


def _name(arguments: Arguments, option: str) -> str:
    value = str(arguments.get(option, ""))
    if not _NAME.fullmatch(value):
        raise InputError(
            f"{option} '{value[:80]}' is not a name of HAProxy.", cure="Use letters, digits and . _ : - only."
        )
    return value


def _target(arguments: Arguments) -> str:
    return f"haproxy:{here(str(arguments['socket']))}:{_name(arguments, 'backend')}"


def _change(arguments: Arguments, rows: Mapping[str, Server], wanted: Mapping[str, str]) -> Change:
    backend, path = _name(arguments, "backend"), os.path.realpath(str(arguments["socket"]))
    before = {name: row.admin for name, row in rows.items()}
    after = {**before, **wanted}
    if before != after:
        _may_write(arguments)
    moved = sorted((name for name in before if before[name] != after[name]), key=lambda name: before[name] != "ready")
    commands = [f"set server {backend}/{name} state {before[name]}" for name in moved]
    undo = {
        "name": f"Set servers of {backend} back: {', '.join(f'{name} to {before[name]}' for name in moved)}",
        "ansible.builtin.command": {"argv": ["python3", "-I", "-", path, *commands], "stdin": _UNDO},
        "changed_when": True,
    }
    return Change(
        target=_target(arguments),
        before=before,
        after=after,
        undo=[undo] if moved else [],
        undo_note="Sets every server that was changed back to the state that was set for it before; the good ones first.",
        evidence={name: row.state for name, row in rows.items()},
        diff={
            "before": "".join(f"{n}: {s}\n" for n, s in before.items()),
            "after": "".join(f"{n}: {s}\n" for n, s in after.items()),
        },
    )


def _may_write(arguments: Arguments) -> None:
    """Only a socket of level admin may set a server: this is known before anything is planned on it."""
    try:
        level = _ask(arguments, "show cli level").strip()
    except EffectFailed as error:
        raise InputError(error.message, cure=error.cure) from error
    if level != "admin":
        raise InputError(
            f"the socket {arguments['socket']} may not set servers: its level is {shown(level, 40) or 'not told'}, not admin.",
            cure="Write 'level admin' at its 'stats socket' line in HAProxy's configuration, or name another socket.",
        )


def _capacity(rows: Mapping[str, Server], left: Iterable[str]) -> float:
    """The share of the weight in service that goes on taking traffic.

    Servers in maintenance count neither way, backups only where no other server is left.
    """
    kept = [rows[name] for name in left]
    actives = [row for row in rows.values() if not row.out and not row.backup]
    whole = actives or [row for row in rows.values() if not row.out]
    taking = [row for row in kept if not row.backup] or kept
    total = sum(max(row.weight, row.configured_weight) for row in whole)
    return min(1.0, sum(row.weight for row in taking) / total) if total else 0.0


def _plan_failover(arguments: Arguments) -> Change:
    to, rows = _name(arguments, "to"), _servers(arguments)
    _known(rows, to, "to")
    row, backend = rows[to], arguments["backend"]
    if row.out and not row.standby:
        raise InputError(
            f"server '{to}' is in maintenance: {row.out}; traffic is not sent there.",
            cure=_enabled(row, f"{backend}/{to}"),
        )
    if not row.weight or not (row.running or row.standby):  # one in maintenance is not checked
        raise InputError(f"server '{to}' is {row.state}; traffic cannot go there.", cure="Bring it up first.")
    wanted = {name: "drain" for name, other in rows.items() if name != to and not other.out} | {to: "ready"}
    if row.tracks.partition("/")[2] in wanted and row.tracks.startswith(f"{backend}/"):
        raise InputError(
            f"server '{to}' tracks {row.tracks}, which the failover would drain, and it with it.",
            cure="Name a server that does not track another one of this backend.",
        )
    return _change(arguments, rows, wanted)


def _enabled(row: Server, name: str) -> str:
    """How a person gets a server out of maintenance."""
    if row.bits & _FOLLOWS:
        return f"Enable {row.tracks} when it is sound."
    ready = f"'set server {name} state ready'"
    if row.out == "it has no address":
        return f"Name another; or give it one at HAProxy's socket, 'set server {name} addr ADDRESS port PORT', then {ready}."
    return f"When it is sound, type {ready} at HAProxy's socket yourself."


def _plan_drain(arguments: Arguments) -> Change:
    server, rows = _name(arguments, "server"), _servers(arguments)
    _known(rows, server, "server")
    if rows[server].out:
        return _change(arguments, rows, {})
    tracked = f"{arguments['backend']}/{server}"
    others = [name for name, row in rows.items() if name != server and row.serves and row.tracks != tracked]
    if not others:
        raise InputError(
            f"'{server}' is the last usable server of {arguments['backend']}; draining it is an outage.",
            cure="Enable another first.",
        )
    return replace(_change(arguments, rows, {server: "drain"}), capacity=_capacity(rows, others))


def _known(rows: Arguments, name: str, option: str) -> None:
    if name not in rows:
        raise InputError(
            f"{option} '{name}' is not a server of this backend; it has: {', '.join(rows)}.", cure="Name one of these."
        )


def _act(plan: Callable[[Arguments], Change], arguments: Arguments, change: Change) -> dict[str, Any]:
    arguments = {
        **arguments,
        "socket": os.path.realpath(str(arguments["socket"])),
    }  # a link that moves now is not followed
    if (target := _target(arguments)) != change.target:
        raise StateMoved(f"the plan is about {change.target}, and this is {target}.", cure="Run again for a new plan.")
    try:
        now = _read(arguments)
        moved = now != change.before or plan(arguments).after != change.after
        why = f"{now}, not {change.before}." if now != change.before else "another one takes traffic now."
    except InputError as error:
        moved, why = True, error.message
    if moved:
        raise StateMoved(
            f"the servers have changed since they were planned: {why}", cure="Run the runbook again to make a new plan."
        )
    wanted = {name: state for name, state in change.after.items() if change.before[name] != state}
    for name in sorted(wanted, key=lambda name: wanted[name] != "ready"):  # enable the good before draining the bad
        answer = _ask(arguments, f"set server {arguments['backend']}/{name} state {wanted[name]}").strip()
        if answer:
            raise EffectFailed(f"HAProxy refused to set {name} to {wanted[name]}: {shown(answer, 200)}.")
        _await(arguments, name, wanted[name])
    return {name: row.admin for name, row in _reread(arguments).items()}


def _await(arguments: Arguments, name: str, state: str) -> None:
    until = time.monotonic() + float(arguments.get("timeout_s", 5))
    while True:
        row = _reread(arguments).get(name)
        if row and row.admin == state and (state != "ready" or row.serves):
            return
        if time.monotonic() > until:
            found = row.state if row else "gone"
            raise EffectFailed(f"{name} was set to {state} and reads {found}.", cure="Look at the server itself.")
        time.sleep(0.05)


def _drained(arguments: Arguments, change: Change, waited_s: float) -> Propagation:
    """Whether the servers that were taken out of traffic have served their last session."""
    left = [name for name, state in change.after.items() if state != "ready" and change.before[name] != state]
    rows = _servers(arguments)
    open_ = {name: rows[name].sessions for name in left if name in rows}
    busy = [f"{name} ({'not known' if number is None else number})" for name, number in open_.items() if number != 0]
    if busy:
        return Propagation(False, f"sessions go on at {', '.join(busy)}")
    return Propagation(True, f"no session is left at {', '.join(left) or 'any server that was drained'}")


def _reread(arguments: Arguments) -> dict[str, Server]:
    """The servers in the middle of an act: what cannot be read then is a failure of the act, not bad input."""
    try:
        return _servers(arguments)
    except InputError as error:
        raise EffectFailed(error.message, cure=error.cure) from error


def _read(arguments: Arguments) -> dict[str, Any]:
    return {name: row.admin for name, row in _servers(arguments).items()}


def _look(arguments: Arguments) -> str:
    servers = _read(arguments)
    _may_write(arguments)
    return f"{len(servers)} servers, level admin"


def _became(old: Change, now: Arguments) -> Became | None:
    """Servers are set one by one: where each is as before or as wanted, the change was cut short between them."""
    half = set(now) == set(old.before) and all(now[name] in (old.before[name], old.after[name]) for name in now)
    return by_state(old, now) or ("cut_short" if half else None)


def _same(change: Change, own: Arguments, other: Arguments) -> bool:
    backend, path = other.get("backend"), other.get("socket")
    reached = backend in (None, own["backend"]) or _follows(own, str(backend))
    return reached and (path is None or _one_haproxy(own, path.removeprefix("unix://")))


def _follows(own: Arguments, backend: str) -> bool:
    """Whether servers of another backend go in and out with those of this one, because they track them."""
    try:
        rows = _servers({**own, "backend": backend}).values()
    except InputError:  # this HAProxy has no such backend
        return False
    return any(row.tracks.startswith(f"{own['backend']}/") for row in rows)


def _one_haproxy(own: Arguments, path: str) -> bool:
    """Whether two sockets are of one HAProxy, which may have many."""
    if same_path(str(own["socket"]), path):
        return True
    try:
        return _process(own) == _process({"socket": path})
    except EffectFailed as error:
        return not (isinstance(error.__cause__, OSError) and nobody_there(error.__cause__))


def _process(arguments: Arguments) -> list[str]:
    """The process that answers and when it started, as it says itself: in containers each may be process 1. EffectFailed where
    it does not say."""
    found = re.findall(r"^(?:Pid|Start_time_sec): \d+$", _ask(arguments, "show info"), re.MULTILINE)
    if not found:
        raise EffectFailed(f"what answers at {arguments['socket']} does not say which HAProxy it is.")
    return sorted(found)


class _Options(Options):
    socket: Path = option(
        "Runtime socket of HAProxy with level admin.", annotation="responder/haproxy-socket", locates=True
    )
    backend: str = option("Backend whose servers are meant.", annotation="responder/haproxy-backend", locates=True)
    timeout_s: float = option("How long to wait for the platform, in seconds.", default=5.0)


class _DrainOptions(_Options):
    server: str = option("Server to drain.", annotation="responder/haproxy-server")


class _FailoverOptions(_Options):
    to: str = option("Server that takes all traffic.", annotation="responder/haproxy-failover-to")


_DRAIN_ACTION = Action(
    name="haproxy_drain",
    rung=0,
    platform="haproxy",
    options=_DrainOptions,
    summary="Take one server of a backend out of traffic, or back in",
    description=(
        "Containment. The server stays on the contained list until it is undone.",
        "The last usable server is never drained.",
    ),
    examples=(("Drain the east", {"socket": "/run/haproxy.sock", "backend": "checkout", "server": "east"}),),
)
_FAILOVER_ACTION = Action(
    name="haproxy_failover",
    rung=4,
    platform="haproxy",
    options=_FailoverOptions,
    summary="Move all traffic of a backend to one server",
    description=(
        "Makes one server ready, reads back that it is up, and then drains every other one.",
        "The success criterion is measured once no session is left there.",
    ),
    examples=(("Move checkout to the west", {"socket": "/run/haproxy.sock", "backend": "checkout", "to": "west"}),),
)
FAILOVER = Effect(
    _FAILOVER_ACTION,
    _plan_failover,
    partial(_act, _plan_failover),
    _read,
    _same,
    _became,
    look=_look,
    propagated=_drained,
)
DRAIN = Effect(_DRAIN_ACTION, _plan_drain, partial(_act, _plan_drain), _read, _same, _became, look=_look)
