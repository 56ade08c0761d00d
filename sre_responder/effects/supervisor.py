"""Programs under supervisord, through its XML-RPC interface."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from supervisor.xmlrpc import SupervisorTransport

from sre_responder.effects.action import NO_UNDO, Action, Options, option
from sre_responder.effects.effect import Became, Change, Effect, here, nobody_there, same_path, there
from sre_responder.errors import EffectFailed, InputError, NotApplicable, StateMoved
from sre_responder.model import address
from sre_responder.model.names import shown

_MOVING = ("STARTING", "STOPPING", "BACKOFF")
_CALL_SECONDS = 10
_MOST_BYTES = 1_048_576
_LOOK_SECONDS = 5.0
_LATELY_SECONDS = 30


class _Limited(HTTPResponse):
    """An answer that is read whole, up to a size that no supervisord needs."""

    def read(self, amt: int | None = None) -> bytes:
        text = super().read(_MOST_BYTES + 1 if amt is None else amt)
        if amt is None:
            self.close()  # an error raised later would keep its socket open
        if len(text) > _MOST_BYTES:
            raise OSError(f"its answer is larger than {_MOST_BYTES} bytes")
        return text


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
        connection.response_class = _Limited
        return connection

    transport._get_connection = connect_in_time
    try:
        yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    except (HTTPException, ExpatError) as error:
        raise OSError(f"what answers there is no supervisord ({type(error).__name__}: {error})") from error
    finally:
        transport.close()


def _connected(arguments: Mapping[str, Any]) -> AbstractContextManager[Any]:
    username, password = (str(arguments.get(option) or "") for option in ("username", "password"))
    return supervisord(_url(arguments), username, password)


def _url(arguments: Mapping[str, Any]) -> str:
    url = str(arguments["server"])
    if url.startswith("http") and "@" in url:  # nothing else of it may bear one
        raise InputError(
            f"server '{address.shown(url)}' contains a user name or password, which would stand in the record.",
            cure="Leave them out of the address; give username and password as options of the task.",
        )
    if not url.startswith(("unix:///", "http://")) or (url.startswith("http://") and address.problem(url)):
        raise InputError(
            f"server '{address.shown(url)}' is not an address of supervisord.",
            cure="Write unix:///path or http://host:port.",
        )
    return url


def _known(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All programs of that supervisord."""
    url = _url(arguments)
    try:
        with _connected(arguments) as server:
            return [dict(entry) for entry in server.getAllProcessInfo()]
    except (OSError, xmlrpc.client.Error) as error:
        raise InputError(
            f"supervisord at {url} cannot be asked: {error}.",
            cure="Check server, username and password, and that it runs.",
        ) from error


def _members(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The one program of that name, or all of a group, `GROUP:*`."""
    program, known = str(arguments["program"]), _known(arguments)
    group = program.removesuffix(":*") if program.endswith(":*") else None
    if group is not None:
        found = [entry for entry in known if entry["group"] == group]
        if found:
            return found
    else:
        found = [entry for entry in known if program in (entry["name"], f"{entry['group']}:{entry['name']}")]
        if len(found) == 1:
            return found
    names = ", ".join(sorted(_full(entry) for entry in found or known)) or "none"
    what = f"is a program of {len(found)} groups" if found else "does not exist"
    whole = f", or {program}:* for its whole group" if any(entry["group"] == program for entry in known) else ""
    raise InputError(
        f"program '{shown(program, 80)}' {what}; supervisord at {_url(arguments)} knows: {names}.",
        cure=f"Name one of these{whole}.",
    )


def _full(entry: Mapping[str, Any]) -> str:
    """A program's name, with its group where that is another."""
    group, name = entry["group"], entry["name"]
    return str(name) if group == name else f"{group}:{name}"


def _identity(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": info["statename"], "pid": info["pid"], "started": info["start"]}


def _state(arguments: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What identifies a program, or each of a group, by name."""
    if not _of_group(arguments):
        return _identity(members[0])
    return {"programs": {_full(info): _identity(info) for info in members}}


def _of_group(arguments: Mapping[str, Any]) -> bool:
    return str(arguments["program"]).endswith(":*")


def _chosen(members: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a group of which some run, what a person stopped stays stopped."""
    return [info for info in members if info["statename"] != "STOPPED"] or list(members)


def _looked_at(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The programs to restart, looked at until it is known whether they stay as they are.

    One that ended a moment ago may be started again and again by supervisord itself. To restart that once more is no remedy, and what
    identifies its process would have changed before anybody acts: NotApplicable, so that the ladder goes on.
    """
    first = members = _chosen(_members(arguments))
    until = time.monotonic() + _LOOK_SECONDS
    while True:
        again = [_full(now) for was, now in zip(first, members, strict=False) if _again(was, now)]
        if again:
            last = next(info for info in members if _full(info) in again)
            why = last["spawnerr"] or f"exit status {last['exitstatus']}"
            raise NotApplicable(
                f"supervisord starts {', '.join(again)} again and again by itself ({why}); one more restart would change nothing"
            )
        if time.monotonic() > until or not any(map(_ended_lately, members)):
            return members
        time.sleep(0.2)
        members = _chosen(_members(arguments))


def _again(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether it failed while it was started, or was started anew since it was looked at first."""
    return bool(now["statename"] == "BACKOFF" or (now["start"] > was["start"] and now["pid"] != was["pid"]))


def _ended_lately(info: Mapping[str, Any]) -> bool:
    return bool(info["now"] - _LATELY_SECONDS < info["stop"] and info["statename"] not in ("STOPPED", "FATAL"))


def _plan(arguments: Mapping[str, Any]) -> Change:
    members = _looked_at(arguments)
    moving = [f"{_full(info)} in {info['statename']}" for info in members if info["statename"] in _MOVING]
    count = len(members)
    return Change(
        target=f"supervisor:{_place(_url(arguments))}:{members[0]['group']}:{'*' if _of_group(arguments) else members[0]['name']}",
        before=_state(arguments, members),
        after={"state": "RUNNING", "started": f"after {max(info['start'] for info in members)}"},
        undo_note="Nothing to undo: a restart keeps no earlier state.",
        evidence={
            _full(info): {
                "uptime_s": info["now"] - info["start"],
                "exitstatus": info["exitstatus"],
                "spawnerr": info["spawnerr"],
            }
            for info in members
        },
        busy=f"supervisord has {', '.join(moving)}" if moving else None,
        capacity=(count - 1) / count if count > 1 else None,  # one after the other
        diff={
            "before": "".join(f"{_full(info)} pid {info['pid']} {info['statename']}\n" for info in members),
            "after": "".join(f"{_full(info)} RUNNING, new pid\n" for info in members),
        },
    )


def _place(url: str) -> str:
    """Where a supervisord is, in one spelling, so that attempts are counted and targets held under one name."""
    if url.startswith("unix://"):
        return here(url.removeprefix("unix://"))
    parts = urlsplit(url)
    return f"{there(str(parts.hostname))}:{parts.port or 80}"


def _look(arguments: Mapping[str, Any]) -> str:
    members = _chosen(_members(arguments))
    return ", ".join(f"{_full(info)} {info['statename']}" for info in members)


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    members, program = _chosen(_members(arguments)), str(arguments["program"])
    if (now := _state(arguments, members)) != change.before:
        raise StateMoved(
            f"{program} has changed since it was planned: {now}, not {change.before}.",
            cure="Run the runbook again to make a new plan.",
        )
    until = time.monotonic() + float(arguments.get("timeout_s", 30))
    return _state(arguments, [_restarted(arguments, info, until) for info in members])


def _restarted(arguments: Mapping[str, Any], info: Mapping[str, Any], until: float) -> dict[str, Any]:
    """End one program and start it; gives how it runs then."""
    name, old = f"{info['group']}:{info['name']}", info["pid"]
    one = {**arguments, "program": name}
    try:
        with _connected(arguments) as server:
            if info["statename"] == "RUNNING":
                server.stopProcess(name, False)
                _wait(one, until, lambda now: now["statename"] in ("STOPPED", "EXITED", "FATAL"), "stop")
            server.startProcess(name, False)
    except (OSError, xmlrpc.client.Error) as error:
        raise EffectFailed(f"restarting {_full(info)} at {arguments['server']} failed: {error}.") from error
    return _wait(one, until, lambda now: now["statename"] == "RUNNING" and now["pid"] != old, "start")


def _wait(arguments: Mapping[str, Any], until: float, reached: Any, word: str) -> dict[str, Any]:
    while True:
        [info] = _members(arguments)
        if reached(info):
            return info
        if time.monotonic() > until or (word == "start" and info["statename"] == "FATAL"):
            raise EffectFailed(
                f"{_full(info)} did not {word}: {info['statename']} {info['spawnerr']}.", cure="Read its log."
            )
        time.sleep(0.05)


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    if now == old.before:
        return "not_done"
    was = old.before.get("programs", {"": old.before})
    states = now.get("programs", {"": now})
    if any(one["state"] in _MOVING for one in states.values()):
        return None
    new = [
        name in states and states[name]["state"] == "RUNNING" and states[name]["pid"] != one["pid"]
        for name, one in was.items()
    ]
    return "done" if all(new) else "cut_short"


def _same(change: Change, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    program, server = other.get("program"), other.get("server")
    return (program is None or _one_of(change, program)) and (server is None or _one_supervisord(own, server))


def _one_of(change: Change, program: str) -> bool:
    """Whether a name is that of a program which would be restarted: alone, with its group, or for the whole group."""
    group, _, name = program.strip().rpartition(":")
    planned = [(its or one, one) for its, _, one in (full.rpartition(":") for full in change.evidence)]
    return any(group in ("", its) and (name in ("*", one) or (not group and name == its)) for its, one in planned)


def _one_supervisord(own: Mapping[str, Any], server: str) -> bool:
    """Whether two addresses may be of one supervisord, which may have several of each kind: on one machine it is asked at both."""
    path = server.strip().removeprefix("unix:")
    mine, other = _url(own), f"unix:///{path.lstrip('/')}" if path.startswith("/") else path
    try:
        ports = [urlsplit(url).port for url in (mine, other)]
    except ValueError:
        return False  # no address at all
    if mine.startswith("unix://") and other.startswith("unix://"):
        if same_path(mine.removeprefix("unix://"), other.removeprefix("unix://")):
            return True
    elif _machine(mine).isdisjoint(_machine(other)):
        return False
    elif ports[0] == ports[1]:
        return True
    try:
        before, there = _identified(own), _identified({"server": other})
        return before == there or before != _identified(own)  # what has changed meanwhile tells nothing
    except OSError as error:
        return not nobody_there(error)
    except (InputError, xmlrpc.client.Error):
        return True


def _machine(url: str) -> frozenset[str]:
    return (
        frozenset([address.THIS_MACHINE])
        if url.startswith("unix://")
        else address.machine(urlsplit(url).hostname or "")
    )


def _identified(arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """What one supervisord has alone: its process, and those that it has started. In containers each may be process 1."""
    with _connected(arguments) as server:
        started = sorted((one["group"], one["name"], one["pid"], one["start"]) for one in server.getAllProcessInfo())
        return server.getPID(), server.getIdentification(), started


class _Options(Options):
    server: str = option(
        "Address of supervisord, C(unix:///path) or C(http://host:port).",
        annotation="responder/supervisor-server",
        locates=True,
    )
    program: str = option(
        "Name of the program, or C(GROUP:*) for all of a group, one after the other, but for those that a person stopped.",
        "One that supervisord starts again and again by itself is skipped.",
        annotation="responder/supervisor-program",
        locates=True,
    )
    username: str | None = option("User of supervisord's interface, where it asks for one.", default=None, reaches=True)
    password: str | None = option(
        "Password of that user. It never stands in plan, record or output; an address that contains one is refused.",
        default=None,
        secret=True,
    )
    timeout_s: float = option("How long to wait for the platform, in seconds.", default=30.0)


_ACTION = Action(
    name="supervisor_restart",
    rung=2,
    platform="supervisord",
    options=_Options,
    summary="Restart one program under supervisord",
    description=("Stops and starts one program through supervisord's XML-RPC interface and waits until it runs anew.",),
    examples=(("Restart checkout", {"server": "unix:///run/shop.sock", "program": "checkout"}),),
    undoable=False,
    undo=NO_UNDO,
)
RESTART = Effect(
    _ACTION, _plan, _act, lambda arguments: _state(arguments, _chosen(_members(arguments))), _same, _became, look=_look
)
