"""HAProxy through its runtime API: drain and enable servers; every command is read back, for it answers success with nothing."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sre_responder.effects.effect import Became, Change, Effect, by_state, here
from sre_responder.errors import EffectFailed, InputError, StateMoved
from sre_responder.names import shown

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_UNDO = (
    "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1]); "
    "s.sendall((sys.argv[2]+'\\n').encode()); a=s.recv(4096).decode().strip(); sys.exit(a or 0)"
)


def _ask(arguments: Mapping[str, Any], command: str) -> str:
    path = str(arguments["socket"])
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(float(arguments.get("timeout_s", 5)))
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
    except OSError as error:
        raise EffectFailed(
            f"'{command}' to HAProxy at {path} failed: {error}.", cure="Check socket, its level (admin) and rights."
        ) from error
    return answer.decode("utf-8", "replace")


@dataclass(frozen=True)
class Server:
    """One server: what an admin set (`show stat` hides that behind DOWN), and whether it takes traffic."""

    admin: str
    running: bool
    weight: int

    @property
    def usable(self) -> bool:
        return self.running and self.weight > 0

    @property
    def state(self) -> str:
        return f"{self.admin}, {'up' if self.running else 'down'}, weight {self.weight}"


_MAINT, _DRAIN = 0x01 | 0x02 | 0x04 | 0x20 | 0x40, 0x08 | 0x10
"""Bits of srv_admin_state (HAProxy's management guide, "show servers state")."""
_RUNNING = 2


def _servers(arguments: Mapping[str, Any]) -> dict[str, Server]:
    """Every server of the backend."""
    backend = _name(arguments, "backend")
    try:
        text = _ask(arguments, "show servers state")
    except EffectFailed as error:
        raise InputError(error.message, cure=error.cure) from error
    try:
        columns, *lines = [line for line in text.splitlines() if line.strip()][1:]
        names = columns.removeprefix("# ").split()
        rows = [dict(zip(names, line.split(), strict=True)) for line in lines]
        found = {row["srv_name"]: _server(row) for row in rows if row["be_name"] == backend}
    except (ValueError, KeyError) as error:
        raise InputError(
            f"what answers at {arguments['socket']} is not HAProxy's table of servers: {shown(text, 80)}.",
            cure="Name HAProxy's own runtime socket, of a level that may read it.",
        ) from error
    if not found:
        known = ", ".join(sorted({row["be_name"] for row in rows})) or "none"
        raise InputError(f"backend '{backend}' has no servers; HAProxy knows: {known}.", cure="Name one of these.")
    return found


def _server(row: Mapping[str, str]) -> Server:
    bits = int(row["srv_admin_state"])
    admin = "maint" if bits & _MAINT else "drain" if bits & _DRAIN else "ready"
    return Server(admin, int(row["srv_op_state"]) == _RUNNING, int(row["srv_uweight"]))


def _name(arguments: Mapping[str, Any], option: str) -> str:
    value = str(arguments.get(option, ""))
    if not _NAME.fullmatch(value):
        raise InputError(
            f"{option} '{value[:80]}' is not a name of HAProxy.", cure="Use letters, digits and . _ : - only."
        )
    return value


def _change(arguments: Mapping[str, Any], rows: Mapping[str, Server], wanted: Mapping[str, str], verb: str) -> Change:
    backend = _name(arguments, "backend")
    before = {name: row.admin for name, row in rows.items()}
    after = {**before, **wanted}
    undo = [
        {
            "name": f"Set {backend}/{name} back to {before[name]}",
            "ansible.builtin.command": {
                "argv": [
                    "python3",
                    "-c",
                    _UNDO,
                    str(arguments["socket"]),
                    f"set server {backend}/{name} state {before[name]}",
                ]
            },
            "changed_when": True,
        }
        for name in sorted(before, key=lambda name: before[name] != "ready")
        if before[name] != after[name]
    ]
    left = [name for name, state in after.items() if state == "ready" and rows[name].usable]
    return Change(
        target=f"haproxy:{here(str(arguments['socket']))}:{backend}",
        before=before,
        after=after,
        undo=undo,
        undo_note="Sets every server back to the state that an admin had given it; the good ones first.",
        evidence={name: row.state for name, row in rows.items()},
        capacity=len(left) / len(after) if verb == "drain" else None,
        diff={
            "before": "".join(f"{n}: {s}\n" for n, s in before.items()),
            "after": "".join(f"{n}: {s}\n" for n, s in after.items()),
        },
    )


def _plan_failover(arguments: Mapping[str, Any]) -> Change:
    rows, to = _servers(arguments), _name(arguments, "to")
    _known(rows, to, "to")
    if not rows[to].weight or not (rows[to].running or rows[to].admin == "maint"):  # one in maintenance is not checked
        raise InputError(f"server '{to}' is {rows[to].state}; traffic cannot go there.", cure="Bring it up first.")
    return _change(arguments, rows, {name: "ready" if name == to else "drain" for name in rows}, "failover")


def _plan_drain(arguments: Mapping[str, Any]) -> Change:
    rows, server = _servers(arguments), _name(arguments, "server")
    _known(rows, server, "server")
    others = [name for name, row in rows.items() if name != server and row.usable and row.admin == "ready"]
    if not others:
        raise InputError(
            f"'{server}' is the last usable server of {arguments['backend']}; draining it is an outage.",
            cure="Enable another first.",
        )
    return _change(arguments, rows, {server: "drain"}, "drain")


def _known(rows: Mapping[str, Any], name: str, option: str) -> None:
    if name not in rows:
        raise InputError(
            f"{option} '{name}' is not a server of this backend; it has: {', '.join(rows)}.", cure="Name one of these."
        )


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    now = _read(arguments)
    if now != change.before:
        raise StateMoved(
            f"the servers are no longer as the plan saw them: {now}, not {change.before}.",
            cure="Run again for a new plan.",
        )
    wanted = {name: state for name, state in change.after.items() if change.before[name] != state}
    for name in sorted(wanted, key=lambda name: wanted[name] != "ready"):  # enable the good before draining the bad
        answer = _ask(arguments, f"set server {arguments['backend']}/{name} state {wanted[name]}").strip()
        if answer:
            raise EffectFailed(f"HAProxy refused to set {name} to {wanted[name]}: {answer}.")
        _await(arguments, name, wanted[name])
    return _read(arguments)


def _await(arguments: Mapping[str, Any], name: str, state: str) -> None:
    until = time.monotonic() + float(arguments.get("timeout_s", 5))
    while True:
        row = _servers(arguments)[name]
        if row.admin == state and (state != "ready" or row.usable):
            return
        if time.monotonic() > until:
            raise EffectFailed(f"{name} was set to {state} and reads {row.state}.", cure="Look at the server itself.")
        time.sleep(0.05)


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.admin for name, row in _servers(arguments).items()}


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Servers are set one by one: where each is as before or as wanted, the change was cut short between them."""
    half = set(now) == set(old.before) and all(now[name] in (old.before[name], old.after[name]) for name in now)
    return by_state(old, now) or ("cut_short" if half else None)


FAILOVER = Effect(_plan_failover, _act, _read, _became)
DRAIN = Effect(_plan_drain, _act, _read, _became)
