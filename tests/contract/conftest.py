"""The real components: each on free ports of loopback, its data in a folder of the test, ended by its pid."""

from __future__ import annotations

import csv
import io
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support import forks
from support.systemd_machine import Machine, impossible
from support.systemd_machine import machine as systemd_on

from sre_responder import undo
from sre_responder.effects import Change
from sre_responder.model.plan import Plan

START_SECONDS = 20
BACKEND = "checkout"
ADMIN_STATES = {"0": "ready", "1": "maint", "4": "ready", "5": "maint", "8": "drain"}
"""What HAProxy keeps of an admin's wish, as `show servers state` numbers it."""

Component = Callable[[str, str], Path]
Start = Callable[[list[object], Callable[[], bool]], subprocess.Popen[bytes]]
FreePort = Callable[[], int]


def until(reached: Callable[[], object], what: str) -> None:
    """Wait for a condition of the real world."""
    end = time.monotonic() + START_SECONDS
    while not reached():
        assert time.monotonic() < end, f"not within {START_SECONDS} s: {what}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def free_ports() -> Iterator[FreePort]:
    """Gives ports that no other test is given: each stays bound, without a listener, until this ends."""
    with ExitStack() as held:

        def reserve() -> int:
            place = held.enter_context(socket.socket())
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that the component may bind it too
            place.bind(("127.0.0.1", 0))
            return int(place.getsockname()[1])

        yield reserve


@pytest.fixture
def free_port() -> Iterator[FreePort]:
    """`free_port()` is a port of this test alone."""
    with free_ports() as reserve:
        yield reserve


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: the path of a unix socket has at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="sre-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(COMMAND, ready)` runs a program until the test ends; it is started when `ready()` says so."""
    with ExitStack() as running:

        def run(command: list[object], ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
            log = tmp_path / "component.log"
            with log.open("ab") as out:
                process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            running.callback(end, process)
            until(lambda: process.poll() is not None or ready(), shlex.join(map(str, command)))
            assert process.poll() is None, log.read_text()
            return process

        yield run


def end(process: subprocess.Popen[bytes]) -> None:
    """End a component and what it started; whatever does not go by itself is killed."""
    if process.poll() is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(children, 1)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()


@dataclass(frozen=True)
class Origin:
    """A small HTTP server and what it was asked, as `GET /path`."""

    server: ThreadingHTTPServer
    requests: list[str]

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def origin() -> Iterator[Callable[..., Origin]]:
    """`origin(body)` answers every GET with `body()`, to be kept for an hour; other methods it does not know."""
    with ExitStack() as running:

        def serve(body: Callable[[], str] = lambda: "fresh") -> Origin:
            requests: list[str] = []

            class Answer(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    requests.append(f"{self.command} {self.path}")
                    text = body().encode()
                    known = self.command in ("GET", "HEAD")
                    self.send_response(200 if known else 404)
                    self.send_header("Cache-Control", "max-age=3600")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(text)

                do_HEAD = do_PURGE = do_BAN = do_GET

                def log_message(self, *_: object) -> None:
                    """Quiet."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            made = Origin(server, requests)
            running.callback(made.close)
            return made

        yield serve


@pytest.fixture
def varnish(component: Component, start: Start, free_port: FreePort, tmp_path: Path) -> Callable[[int, str], str]:
    """`varnish(ORIGIN_PORT, RULES)` is the address of a Varnish with these rules in vcl_recv."""
    program = component("varnishd", "varnish")
    component("cc", "gcc")  # Varnish compiles its rules

    def serve(origin: int, rules: str) -> str:
        port, file = free_port(), tmp_path / "rules.vcl"
        file.write_text(
            f'vcl 4.1;\nbackend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}\nsub vcl_recv {{ {rules} }}\n'
        )
        words = ["-F", "-j", "none", "-n", tmp_path / "varnish", "-a", f"127.0.0.1:{port}", "-T", "none"]
        start([program, *words, "-f", file, "-s", "malloc,32m"], lambda: listens(port))
        return f"http://127.0.0.1:{port}"

    return serve


@pytest.fixture
def squid(component: Component, start: Start, free_port: FreePort, tmp_path: Path) -> Callable[[int, str], str]:
    """`squid(ORIGIN_PORT, RULES)` is the address of a Squid before the origin, with these rules of access."""
    program = component("squid", "squid")

    def serve(origin: int, rules: str) -> str:
        port, file = free_port(), tmp_path / "squid.conf"
        file.write_text(f"""
http_port 127.0.0.1:{port} accel defaultsite=shop.test no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query no-digest originserver
{rules}
http_access allow all
visible_hostname localhost
cache_log /dev/null
access_log none
netdb_filename none
pid_filename none
shutdown_lifetime 0 seconds
""")
        start([program, "-N", "-f", file], lambda: listens(port))
        return f"http://127.0.0.1:{port}"

    return serve


@dataclass(frozen=True)
class Supervisord:
    """A supervisord with its two addresses, asked by the standard library alone."""

    unix: str
    http: str
    login: str = ""
    """`user:password`, where it asks for one."""

    def ask(self, method: str, *arguments: object) -> Any:
        address = self.http.replace("//", f"//{self.login}@") if self.login else self.http
        with xmlrpc.client.ServerProxy(f"{address}/RPC2") as server:
            return getattr(server.supervisor, method)(*arguments)

    def info(self, program: str) -> dict[str, Any]:
        return dict(self.ask("getProcessInfo", program))


@pytest.fixture
def supervisord(start: Start, free_port: FreePort, short: Path, tmp_path: Path) -> Callable[..., Supervisord]:
    """`supervisord(name={setting: value})` runs a supervisord with these programs and waits for their start.

    `more` are sections as they are written.
    """

    def run(login: str = "", more: str = "", **programs: Mapping[str, object]) -> Supervisord:
        port, file = free_port(), tmp_path / "supervisord.conf"
        made = Supervisord(f"unix://{short}/socket", f"http://127.0.0.1:{port}", login)
        asked = dict(zip(("username", "password"), login.split(":"), strict=True)) if login else {}
        sections: dict[str, Mapping[str, object]] = {
            "supervisord": {"logfile": tmp_path / "supervisord.log", "pidfile": tmp_path / "supervisord.pid"},
            "unix_http_server": {"file": short / "socket", **asked},
            "inet_http_server": {"port": f"127.0.0.1:{port}", **asked},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            **{f"program:{name}": {"stopwaitsecs": 1, **settings} for name, settings in programs.items()},
        }
        file.write_text(
            "\n".join(
                f"[{section}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())
                for section, settings in sections.items()
            )
            + more
        )
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", file]
        start(command, lambda: listens(port))
        until(
            lambda: all(entry["statename"] != "STARTING" for entry in made.ask("getAllProcessInfo")),
            "the programs have started",
        )
        return made

    return run


@dataclass(frozen=True)
class Haproxy:
    """A HAProxy before the servers east and west, with a socket for each level of rights."""

    url: str
    sockets: dict[str, str]

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.sockets["admin"])
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def set_state(self, server: str, state: str) -> None:
        assert self.ask(f"set server {BACKEND}/{server} state {state}").strip() == ""

    def states(self) -> dict[str, str]:
        """What an admin set for each server."""
        columns, *lines = self.ask(f"show servers state {BACKEND}").removeprefix("1\n# ").strip().splitlines()
        rows = [dict(zip(columns.split(), line.split(), strict=True)) for line in lines]
        return {row["srv_name"]: ADMIN_STATES[row["srv_admin_state"]] for row in rows}

    def status(self, server: str) -> str:
        """What HAProxy's own checks say of a server."""
        rows = csv.DictReader(io.StringIO(self.ask("show stat")))
        return next(row["status"] for row in rows if (row["# pxname"], row["svname"]) == (BACKEND, server))

    def answering(self) -> set[str]:
        """Which servers new requests reach."""
        return {httpx.get(self.url).text for _ in range(8)}


@pytest.fixture
def haproxy(
    component: Component, start: Start, free_port: FreePort, origin: Callable[..., Origin], short: Path
) -> Callable[..., Haproxy]:
    """`haproxy(check=, down=, disabled=, more=)` runs a HAProxy.

    `check` are words for each server line, nothing listens for those `down`, `more` are lines after the servers.
    """
    program = component("haproxy", "haproxy")

    def run(check: str = "", down: tuple[str, ...] = (), disabled: tuple[str, ...] = (), more: str = "") -> Haproxy:
        port, file = free_port(), short / "haproxy.cfg"
        ports = {n: free_port() if n in down else origin(lambda n=n: n).port for n in ("east", "west")}
        sockets = {level: f"{short}/{level}" for level in ("admin", "operator", "user")}
        stats = "\n".join(f"  stats socket {path} level {level}" for level, path in sockets.items())
        servers = "\n".join(
            f"  server {name} 127.0.0.1:{port} {check} {'disabled' * (name in disabled)}"
            for name, port in ports.items()
        )
        file.write_text(f"""
global
{stats}
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend shop
  bind 127.0.0.1:{port}
  default_backend {BACKEND}
backend {BACKEND}
{servers}
  {more}
resolvers r
  nameserver n 127.0.0.1:9
  hold nx 1s
""")
        # HAProxy takes connections before its sockets have their names
        start(
            [program, "-db", "-f", file],
            lambda: listens(port) and all(Path(path).exists() for path in sockets.values()),
        )
        made = Haproxy(f"http://127.0.0.1:{port}/", sockets)
        until(lambda: all(made.status(name).startswith("DOWN") for name in down), f"HAProxy sees {down} as down")
        return made

    return run


def ssh_server(component: Component, folder: Path, port: int) -> tuple[list[object], dict[str, Any]]:
    """The command of an sshd, and how an inventory reaches it: own host key, own client key, and a known_hosts that is checked."""
    program = component("sshd", "openssh-server")
    folder.mkdir()
    for key in ("host", "client"):
        keygen = component("ssh-keygen", "openssh-client")
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    file = folder / "sshd_config"
    file.write_text(f"""
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
PidFile none
""")
    known = f"-o UserKnownHostsFile={folder}/known_hosts -o GlobalKnownHostsFile=/dev/null"
    return [program, "-D", "-e", "-f", file], {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": pwd.getpwuid(os.geteuid()).pw_name,
        "ansible_host_key_checking": True,
        "ansible_ssh_private_key_file": str(folder / "client"),
        "ansible_ssh_args": f"-F none -o IdentitiesOnly=yes -o ControlMaster=no {known}",  # no master outlives the test
        "ansible_pipelining": True,
        "ansible_remote_tmp": str(folder / "tmp"),
    }


@pytest.fixture
def sshd(component: Component, start: Start, free_port: FreePort, tmp_path: Path) -> dict[str, Any]:
    """How an inventory reaches an sshd of this test."""
    port = free_port()
    command, reached = ssh_server(component, tmp_path / "ssh", port)
    if os.geteuid() == 0 and not Path("/run/sshd").exists():
        # root's sshd wants this folder, which its service makes at boot: make one that only this process sees
        inside = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", inside, "sh", *command]
    start(command, lambda: listens(port))
    return reached


@pytest.fixture(scope="module")
def machine(component: Component, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that systemd runs, one a module: each test has units of its own."""
    systemd = component("systemd", "systemd")
    if why := impossible():
        (pytest.fail if os.environ.get("RESPONDER_TEST_ALL") else pytest.skip)(why)
    folder = tmp_path_factory.mktemp("machine")
    with free_ports() as reserve:
        command, reached = ssh_server(component, folder / "ssh", reserve())
        with systemd_on(folder, systemd, reached, command) as here:
            yield here


@pytest.fixture
def undo_by_hand(tmp_path: Path) -> Callable[[str, Change], subprocess.CompletedProcess[str]]:
    """`undo_by_hand(action, change)` runs the undo playbook of a change with plain ansible-playbook, as a person would."""

    def run(action: str, change: Change) -> subprocess.CompletedProcess[str]:
        plan = Plan(
            incident="INC-1234", runbook="none", runbook_digest="none", action=action, arguments={}, service="checkout", environment="staging",
            **vars(change),
        )  # fmt: skip
        playbook = undo.write(tmp_path / "undo", plan, undo.playbook(plan, "localhost"))
        return forks.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook)],
            {**forks.ORDINARY, "HOME": str(tmp_path), "PATH": os.environ["PATH"], "ANSIBLE_LOCALHOST_WARNING": "false"},
            tmp_path, timeout=60,
        )  # fmt: skip

    return run
