"""Programs under supervisord, through its XML-RPC interface."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from sre_responder.address import shown as address
from sre_responder.effects.effect import Became, Change, Effect, here
from sre_responder.errors import EffectFailed, InputError, StateMoved
from sre_responder.names import shown

_MOVING = ("STARTING", "STOPPING", "BACKOFF")
_CALL_SECONDS = 10


@contextmanager
def supervisord(url: str, username: str = "", password: str = "") -> Iterator[Any]:
    """supervisord's interface at an address, over supervisor's own transport with a deadline on every call."""
    transport = SupervisorTransport(username, password, serverurl=url)
    connect = transport._get_connection

    def connect_in_time() -> Any:
        connection = connect()
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(_CALL_SECONDS)
        return connection

    transport._get_connection = connect_in_time
    try:
        yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    finally:
        transport.close()


def _connected(arguments: Mapping[str, Any]) -> AbstractContextManager[Any]:
    username, password = (str(arguments.get(option) or "") for option in ("username", "password"))
    return supervisord(_url(arguments), username, password)


def _url(arguments: Mapping[str, Any]) -> str:
    url = str(arguments["server"])
    if url.startswith("http") and "@" in url:  # nothing else of it may bear one
        raise InputError(
            f"server '{address(url)}' contains a user name or password, which would stand in the record.",
            cure="Leave them out of the address; give username and password as options of the task.",
        )
    if not url.startswith(("unix:///", "http://")):
        raise InputError(
            f"server '{address(url)}' is not an address of supervisord.", cure="Write unix:///path or http://host:port."
        )
    return url


def _info(arguments: Mapping[str, Any]) -> dict[str, Any]:
    program, url = str(arguments["program"]), _url(arguments)
    try:
        with _connected(arguments) as server:
            known = list(server.getAllProcessInfo())
    except (OSError, xmlrpc.client.Error) as error:
        raise InputError(
            f"supervisord at {url} cannot be asked: {error}.",
            cure="Check server, username and password, and that it runs.",
        ) from error
    found = [entry for entry in known if program in (entry["name"], f"{entry['group']}:{entry['name']}")]
    if len(found) != 1:
        names = ", ".join(sorted(_full(entry) for entry in found or known)) or "none"
        what = f"is a program of {len(found)} groups" if found else "does not exist"
        raise InputError(
            f"program '{shown(program, 80)}' {what}; supervisord at {url} knows: {names}.", cure="Name one of these."
        )
    return dict(found[0])


def _full(entry: Mapping[str, Any]) -> str:
    """A program's name, with its group where that is another."""
    group, name = entry["group"], entry["name"]
    return str(name) if group == name else f"{group}:{name}"


def _identity(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": info["statename"], "pid": info["pid"], "started": info["start"]}


def _plan(arguments: Mapping[str, Any]) -> Change:
    info, server = _info(arguments), str(arguments["server"])
    place = here(server.removeprefix("unix://")) if server.startswith("unix://") else server.rstrip("/")
    return Change(
        target=f"supervisor:{place}:{info['group']}:{info['name']}",
        before=_identity(info),
        after={"state": "RUNNING", "started": f"after {info['start']}"},
        undo_note="Nothing to undo: a restart keeps no earlier state.",
        evidence={
            "uptime_s": info["now"] - info["start"],
            "exitstatus": info["exitstatus"],
            "spawnerr": info["spawnerr"],
        },
        busy=f"supervisord has {arguments['program']} in {info['statename']}" if info["statename"] in _MOVING else None,
        diff={
            "before": f"{arguments['program']} pid {info['pid']} {info['statename']}\n",
            "after": f"{arguments['program']} RUNNING, new pid\n",
        },
    )


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    info, program = _info(arguments), str(arguments["program"])
    if _identity(info) != change.before:
        raise StateMoved(
            f"{program} is no longer as the plan saw it: {_identity(info)}, not {change.before}.",
            cure="Run again for a new plan.",
        )
    group = f"{info['group']}:{info['name']}"
    until = time.monotonic() + float(arguments.get("timeout_s", 30))
    try:
        with _connected(arguments) as server:
            if info["statename"] == "RUNNING":
                server.stopProcess(group, False)
                _wait(arguments, until, lambda now: now["statename"] in ("STOPPED", "EXITED", "FATAL"), "stop")
            server.startProcess(group, False)
    except (OSError, xmlrpc.client.Error) as error:
        raise EffectFailed(f"restarting {program} at {arguments['server']} failed: {error}.") from error
    now = _wait(
        arguments, until, lambda now: now["statename"] == "RUNNING" and now["pid"] != change.before["pid"], "start"
    )
    return _identity(now)


def _wait(arguments: Mapping[str, Any], until: float, reached: Any, word: str) -> dict[str, Any]:
    while True:
        info = _info(arguments)
        if reached(info):
            return info
        if time.monotonic() > until or (word == "start" and info["statename"] == "FATAL"):
            raise EffectFailed(
                f"{arguments['program']} did not {word}: {info['statename']} {info['spawnerr']}.", cure="Read its log."
            )
        time.sleep(0.05)


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    if now == old.before:
        return "not_done"
    if now["state"] in _MOVING:
        return None
    return "done" if now["state"] == "RUNNING" and now["pid"] != old.before["pid"] else "cut_short"


RESTART = Effect(_plan, _act, lambda arguments: _identity(_info(arguments)), _became)
