"""HAProxy through its runtime API: drain and enable servers; every command is read back, for it answers success with nothing."""

from __future__ import annotations

import csv
import io
import re
import socket
import time
from collections.abc import Mapping
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


def _servers(arguments: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Every server of the backend: what an admin set, and whether it is up."""
    backend = _name(arguments, "backend")
    try:
        text = _ask(arguments, "show stat")
    except EffectFailed as error:
        raise InputError(error.message, cure=error.cure) from error
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
    except csv.Error:
        rows = []
    if not rows or not all(row.get(column) for row in rows for column in ("pxname", "svname", "status")):
        raise InputError(
            f"what answers at {arguments['socket']} is not HAProxy's table of servers: {shown(text, 80)}.",
            cure="Name HAProxy's own runtime socket.",
        )
    found = {r["svname"]: r for r in rows if r["pxname"] == backend and r["svname"] not in ("FRONTEND", "BACKEND")}
    if not found:
        known = sorted({r["pxname"] for r in rows if r["svname"] == "BACKEND"})
        raise InputError(
            f"backend '{backend}' has no servers; HAProxy knows: {', '.join(known) or 'none'}.",
            cure="Name one of these.",
        )
    return found


def _name(arguments: Mapping[str, Any], option: str) -> str:
    value = str(arguments.get(option, ""))
    if not _NAME.fullmatch(value):
        raise InputError(
            f"{option} '{value[:80]}' is not a name of HAProxy.", cure="Use letters, digits and . _ : - only."
        )
    return value


def _admin(row: Mapping[str, str]) -> str:
    status = row["status"].upper()
    return "drain" if status.startswith("DRAIN") else "maint" if status.startswith("MAINT") else "ready"


def _usable(row: Mapping[str, str]) -> bool:
    return row["status"].upper().startswith(("UP", "NO CHECK"))


def _change(
    arguments: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]], wanted: Mapping[str, str], verb: str
) -> Change:
    backend = _name(arguments, "backend")
    before = {name: _admin(row) for name, row in rows.items()}
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
    left = [
        name for name, state in after.items() if state == "ready" and (_usable(rows[name]) or before[name] != "ready")
    ]
    return Change(
        target=f"haproxy:{here(str(arguments['socket']))}:{backend}",
        before=before,
        after=after,
        undo=undo,
        undo_note="Sets every server back to the state that an admin had given it; the good ones first.",
        evidence={
            name: {"status": row["status"], "sessions": row.get("scur"), "weight": row.get("weight")}
            for name, row in rows.items()
        },
        capacity=len(left) / len(after) if verb == "drain" else None,
        diff={
            "before": "".join(f"{n}: {s}\n" for n, s in before.items()),
            "after": "".join(f"{n}: {s}\n" for n, s in after.items()),
        },
    )


def _plan_failover(arguments: Mapping[str, Any]) -> Change:
    rows, to = _servers(arguments), _name(arguments, "to")
    _known(rows, to, "to")
    if rows[to]["status"].upper().startswith("DOWN"):
        raise InputError(f"server '{to}' is {rows[to]['status']}; traffic cannot go there.", cure="Bring it up first.")
    return _change(arguments, rows, {name: "ready" if name == to else "drain" for name in rows}, "failover")


def _plan_drain(arguments: Mapping[str, Any]) -> Change:
    rows, server = _servers(arguments), _name(arguments, "server")
    _known(rows, server, "server")
    others = [name for name, row in rows.items() if name != server and _usable(row)]
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
        if _admin(row) == state and (state != "ready" or _usable(row)):
            return
        if time.monotonic() > until:
            raise EffectFailed(
                f"{name} was set to {state} and reads {row['status']}.", cure="Look at the server itself."
            )
        time.sleep(0.05)


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _admin(row) for name, row in _servers(arguments).items()}


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Servers are set one by one: where each is as before or as wanted, the change was cut short between them."""
    half = set(now) == set(old.before) and all(now[name] in (old.before[name], old.after[name]) for name in now)
    return by_state(old, now) or ("cut_short" if half else None)


FAILOVER = Effect(_plan_failover, _act, _read, _became)
DRAIN = Effect(_plan_drain, _act, _read, _became)
