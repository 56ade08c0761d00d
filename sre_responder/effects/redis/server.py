"""Servers of Redis: where one is, by its address or by Sentinels, and a connection to it that ends in time."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from sre_responder.effects.effect import there
from sre_responder.errors import InputError
from sre_responder.model import address
from sre_responder.model.names import shown

Arguments = Mapping[str, Any]
Ask = Callable[..., Any]
RIGHTS = ("+info", "+select", "+scan", "+unlink", "+multi", "+discard")
"""What a user must be allowed, as ACL SETUSER takes it."""
_URL = re.compile(
    r"redis(?P<tls>s?)(?P<sentinel>\+sentinel)?://(?P<nodes>[^/?#@\s]+)(?P<path>(?:/[\w.-]+){0,2})/?", re.ASCII
)
_PORT, _SENTINEL_PORT = 6379, 26379
_MOST_BYTES = 1 << 20
"""Of one answer."""
_PAGE = 500
"""Keys that SCAN looks at for one answer, and that one UNLINK deletes: milliseconds of the server's only thread."""
_SENTINEL_SECONDS = 2.0
_CONNECTIONS = 5


@dataclass(frozen=True)
class Place:
    """Where a database is: at one node, or at the primary of that name as Sentinels at these nodes know it."""

    nodes: tuple[tuple[str, int], ...]
    primary: str
    database: int
    tls: bool

    @property
    def name(self) -> str:
        """In one spelling, so that attempts are counted and targets held under one name."""
        nodes = ",".join(sorted(f"{there(host)}:{port}" for host, port in self.nodes))
        return f"{self.primary}@{nodes}/{self.database}" if self.primary else f"{nodes}/{self.database}"


def place(url: str) -> Place:
    """Where an address leads. InputError if it is none, or contains a login."""
    if "@" in url or "password=" in url:  # nothing else of it may bear one
        raise InputError(
            f"url '{shown(url.partition(':')[0], 20)}://...' contains a user name or password, which would stand in the record.",
            cure="Leave them out of the address; give username and password as options of the task.",
        )
    found = _URL.fullmatch(url)
    try:
        if not found or not url.isprintable():
            raise ValueError
        parts = found["path"].split("/")[1:]
        primary = parts.pop(0) if found["sentinel"] and parts else ""
        [database] = parts or ["0"]
        nodes = tuple(_node(one, bool(found["sentinel"])) for one in found["nodes"].split(","))
        if bool(found["sentinel"]) != bool(primary) or (len(nodes) > 1 and not primary) or not database.isdigit():
            raise ValueError
        return Place(nodes, primary, int(database), bool(found["tls"]))
    except ValueError as error:
        raise InputError(
            f"url '{address.shown(url)}' is not an address of a Redis database.",
            cure="Write redis://host:port/database, rediss:// for TLS, or redis+sentinel://host:port,host:port/primary/database.",
        ) from error


def _node(text: str, sentinel: bool) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError(text)
    return parts.hostname, parts.port or (_SENTINEL_PORT if sentinel else _PORT)


class Lost(Exception):
    """No answer, or none of Redis."""

    def __init__(self, reason: str, *, nobody: bool = False) -> None:
        super().__init__(reason)
        self.nobody = nobody
        """Whether nothing at all listens there."""


class Refusal(Exception):
    """An answer of Redis that says no; `code` is its first word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _InTime:
    """A socket whose answers come by a time, and are not larger than any that is asked for here."""

    def __init__(self, plain: socket.socket, until: float) -> None:
        self._plain, self._until, self._received = plain, until, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def sendall(self, data: bytes) -> None:
        self._received = 0
        self._wait()
        self._plain.sendall(data)

    def recv(self, size: int) -> bytes:
        self._wait()
        data = self._plain.recv(size)
        self._count(len(data))
        return data

    def recv_into(self, buffer: bytearray) -> int:
        self._wait()
        size = self._plain.recv_into(buffer)
        self._count(size)
        return size

    def _wait(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("its time is over")
        self._plain.settimeout(left)

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > _MOST_BYTES:
            raise OSError(f"its answer is larger than {_MOST_BYTES} bytes")


@contextmanager
def _connection(node: tuple[str, int], here: Place, arguments: Arguments, until: float, **login: Any) -> Iterator[Ask]:
    """`ask(COMMAND, ...)` of one server of a place, without retries; `login` are its user, password and database."""
    try:
        import redis
    except ImportError as error:
        raise InputError("Redis needs the package redis.", cure="pip install 'sre-responder[redis]'") from error

    def handshake(made: Any) -> None:
        made._sock = _InTime(made._sock, until)
        made.on_connect()

    secrets = [str(arguments[name]) for name in ("password", "sentinel_password") if arguments.get(name)]
    kind: Any = redis.Connection
    if here.tls:
        kind = redis.SSLConnection
        files = {"ssl_ca_certs": "ca_certificate", "ssl_certfile": "client_certificate", "ssl_keyfile": "client_key"}
        login |= {name: str(arguments[option]) for name, option in files.items() if arguments.get(option)}
    left = max(0.001, until - time.monotonic())
    made = kind(
        host=node[0], port=node[1], protocol=2, socket_timeout=left, socket_connect_timeout=left, redis_connect_func=handshake, **login
    )  # fmt: skip

    def ask(*words: str | bytes | int) -> Any:
        with _translated(secrets):
            made.send_command(*words)
            return made.read_response()

    try:
        with _translated(secrets):
            made.connect()
        yield ask
    finally:
        made.disconnect()


@contextmanager
def _translated(secrets: list[str]) -> Iterator[None]:
    """What redis-py raises, as Refusal or Lost. A server may answer with what it was sent: no secret comes back in a message."""
    from redis import exceptions as said

    codes: dict[type[Exception], str] = {
        said.NoPermissionError: "NOPERM", said.AuthenticationError: "AUTH", said.BusyLoadingError: "LOADING", said.OutOfMemoryError: "OOM",
    }  # fmt: skip
    try:
        yield
    except (said.RedisError, OSError, ValueError, RecursionError) as error:
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        text = str(cause).partition(", with args beginning")[0]  # names of keys, or a login
        for secret in secrets:
            text = text.replace(secret, "***").replace(ascii(secret.encode())[2:-1], "***")
        text = shown(text, 300).rstrip(".")
        if isinstance(error, said.ResponseError | said.AuthenticationError | said.BusyLoadingError):
            code = next((code for kind, code in codes.items() if isinstance(error, kind)), text.partition(" ")[0])
            raise Refusal("AUTH" if code in ("NOAUTH", "WRONGPASS") else code, text) from error
        if isinstance(error, said.TimeoutError):
            text = "no answer in time"
        raise Lost(text, nobody=isinstance(cause, ConnectionRefusedError)) from error


@dataclass(frozen=True)
class Primary:
    """A connection to a server that may be changed, and what it said of itself."""

    ask: Ask
    info: Mapping[str, str]
    where: str
    database: int

    @property
    def version(self) -> str:
        return shown(self.info.get("redis_version"), 40)

    @property
    def keys(self) -> int:
        """How many the database has."""
        return _number("keys=", self.info.get(f"db{self.database}", ""))

    @property
    def used_memory(self) -> int:
        return _number("", self.info.get("used_memory", ""))

    def pages(self, pattern: bytes) -> Iterator[list[bytes]]:
        """All keys that match, some at a time; one that was there all the while is among them, perhaps twice."""
        cursor = b"0"
        while True:
            answer = self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
            match answer:
                case [bytes() as cursor, list() as keys] if all(isinstance(key, bytes) for key in keys):
                    yield keys
                case _:
                    raise Lost(f"SCAN was answered {shown(answer, 80)}")
            if cursor == b"0":
                return

    def require_unlink(self, keys: list[bytes]) -> None:
        """Refusal where these keys may not be deleted: the command is queued in a transaction, which is then discarded."""
        self.ask("MULTI")
        try:
            self.ask("UNLINK", *keys)
        except Refusal as error:
            self.ask("DISCARD")
            if error.code != "OOM":  # nothing is queued where memory is full; UNLINK itself is taken there
                raise
        else:
            self.ask("DISCARD")

    def unlink(self, keys: list[bytes]) -> int:
        """How many of them it deleted."""
        deleted = self.ask("UNLINK", *keys)
        if not isinstance(deleted, int):
            raise Lost(f"UNLINK was answered {shown(deleted, 80)}")
        return deleted


@contextmanager
def _opened(here: Place, arguments: Arguments, until: float) -> Iterator[tuple[Ask, str]]:
    """A connection to the server of a place, and the address of that."""
    node = _by_sentinels(here, arguments, until) if here.primary else here.nodes[0]
    login = {name: arguments.get(name) for name in ("username", "password")}
    with _connection(node, here, arguments, until, db=here.database, **login) as ask:
        yield ask, f"{shown(node[0], 100)}:{node[1]}"


@contextmanager
def primary(arguments: Arguments, seconds: float) -> Iterator[Primary]:
    """The primary to which `url` leads. InputError where it cannot be reached, or is none; also of what is raised while it is used."""
    here = place(str(arguments["url"]))
    where = ", ".join(f"{host}:{port}" for host, port in here.nodes)
    try:
        with _opened(here, arguments, time.monotonic() + seconds) as (ask, where):
            info = _information(ask)
            _require_primary(info, where)
            yield Primary(ask, info, where, here.database)
    except Lost as error:
        raise InputError(
            f"Redis at {where} cannot be asked: {error}.",
            cure="Check url, that it runs, and that it lets this machine in.",
        ) from error
    except Refusal as error:
        raise InputError(f"Redis at {where} refuses: {error}.", cure=_cure(error, arguments)) from error


def _cure(error: Refusal, arguments: Arguments) -> str:
    user = shown(arguments.get("username") or "default", 80)
    return {
        "NOPERM": f"Allow what is needed: ACL SETUSER {user} {' '.join(RIGHTS)} ~{shown(arguments.get('pattern', '*'), 80)}",
        "AUTH": "Check username and password.",
        "LOADING": "Wait until it has loaded its data; then run again.",
    }.get(error.code, "Correct that at the server; then run again.")


def _number(before: str, text: str) -> int:
    found = re.match(rf"{before}(\d{{1,19}})", text, re.ASCII)
    return int(found[1]) if found else 0


def _information(ask: Ask) -> dict[str, str]:
    """INFO, by name. Lost where that is none of Redis."""
    answer = ask("INFO")
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else ""
    info = {name: value for name, colon, value in (line.partition(":") for line in text.splitlines()) if colon}
    if not info.get("run_id"):
        raise Lost("it does not say which server it is")
    return info


def _require_primary(info: Mapping[str, str], where: str) -> None:
    if "sentinel" in (info.get("redis_mode"), info.get("server_mode")):  # the latter is Valkey's
        wrong, cure = "is a Sentinel, not a database", f"Write redis+sentinel://{where}/PRIMARY/DATABASE."
    elif info.get("cluster_enabled") == "1":
        wrong, cure = (
            "is a node of a Redis Cluster, and holds some of the keys only",
            "Clear them with a tool for clusters; this action does not.",
        )
    elif info.get("role") != "master":
        leader = shown(f"{info.get('master_host')}:{info.get('master_port')}", 100)
        wrong, cure = f"is a replica of {leader}", f"Name the primary, redis://{leader}, or let Sentinels find it."
    elif "1" in (info.get("loading"), info.get("async_loading")):
        wrong, cure = "is loading its data", "Wait until it has loaded them; then run again."
    else:
        return
    raise InputError(f"Redis at {where} {wrong}.", cure=cure)


def _by_sentinels(here: Place, arguments: Arguments, until: float) -> tuple[str, int]:
    """Where all Sentinels that answer see the primary. InputError where they do not agree, as during a failover, or none knows it."""
    seen, silent = set[tuple[str, int]](), list[str]()
    for host, port in here.nodes:
        node = f"Sentinel {host}:{port}"
        try:
            by = min(until, time.monotonic() + _SENTINEL_SECONDS)
            with _connection((host, port), here, arguments, by, password=arguments.get("sentinel_password")) as ask:
                match ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", here.primary):
                    case [bytes() as leader, bytes() as its_port]:
                        seen.add((leader.decode("utf-8", "replace"), int(its_port)))
                    case _:
                        silent.append(f"{node} knows no primary '{here.primary}'")
        except (Lost, Refusal, ValueError) as error:
            silent.append(f"{node}: {error}")
    if len(seen) > 1:
        raise InputError(
            f"Sentinels see '{here.primary}' at {' and '.join(sorted(shown(f'{host}:{port}', 100) for host, port in seen))}.",
            cure="Wait until the failover is over; then run again.",
        )
    if not seen:
        raise InputError(
            f"no Sentinel says where '{here.primary}' is: {'; '.join(silent)}.", cure="Check url and sentinel_password."
        )
    return seen.pop()


def may_be(server: Primary, its: Place, arguments: Arguments, seconds: float) -> bool:
    """Whether another place may have the same data: that of the server, or of a replica. It is asked without any login."""
    nowhere = replace(its, database=0)  # to select one would need a login
    until = time.monotonic() + seconds
    try:
        with _opened(nowhere, arguments, until) as (ask, _):
            return bool(_names(server.info) & _names(_information(ask)))
    except Refusal as error:
        return error.code != "AUTH" or bool(its.primary) or _counts(server, nowhere, arguments, until)
    except Lost as error:
        return not error.nobody
    except InputError:
        return True


def _names(info: Mapping[str, str]) -> set[str]:
    return {info[name] for name in ("run_id", "master_replid") if info.get(name)}


def _counts(server: Primary, its: Place, arguments: Arguments, until: float) -> bool:
    """Whether the server counts each connection that is made to another place: one that it does not count leads to another server."""
    for _ in range(_CONNECTIONS):
        before = _information(server.ask).get("total_connections_received")
        with suppress(Refusal), _opened(its, arguments, until) as (ask, _):
            _information(ask)
        if before and _information(server.ask).get("total_connections_received") == before:
            return False
    return True
