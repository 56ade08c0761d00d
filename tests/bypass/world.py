"""A small real world to attack: release folders on disk, a failing service, a home, a ledger, a registered runbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from support import forks, ledgers

from sre_responder.home import Home, find, policy, runbook
from sre_responder.ledger import Ledger, audit, incidents

Play = dict[str, Any]
DRIVEN = ("run", "roll-back", "--incident", "INC-1234", "--service", "checkout", "--environment", "staging")


@dataclass(frozen=True)
class World:
    """The attacked: `release` is read from the disk itself."""

    root: Path
    home: Home
    ledger: Ledger
    environ: dict[str, str]
    forked: bool = False
    """Whether commands are forked where their surroundings are not what is tried; else each is started, as a user does."""

    @property
    def release(self) -> str:
        return (self.root / "app" / "current").readlink().name

    def put_back(self, release: str = "2") -> None:
        """Make a release current by hand, as somebody who knows nothing of Responder would."""
        (self.root / "app" / "current").unlink()
        (self.root / "app" / "current").symlink_to(f"releases/{release}")

    def heals(self, release: str) -> None:
        """From now on the service is well whenever this release is current."""
        (self.root / "app" / "releases" / release / "health.json").write_text('{"ok": true}')

    @property
    def book(self) -> Path:
        return self.home.folder / "runbooks" / "roll-back"

    def write(self, change: Callable[[Play], None] = lambda play: None, *, register: bool = True) -> Path:
        """Write the runbook with a weakness put in, and register it as it is, as a careless reviewer would."""
        play = plain_play()
        change(play)
        self.book.mkdir(parents=True, exist_ok=True)
        path = self.book / "runbook.yml"
        path.write_text(yaml.safe_dump([play], sort_keys=False))
        if register:
            runbook.register(self.home.folder, [self.book])
        return path

    def command(self, *arguments: str, playbook: Path | None = None) -> list[str]:
        """The words that run it with plain ansible-playbook, as anybody could."""
        variables = {"incident": "INC-1234", "service": "checkout", "target": "staging"}
        program, runbook = Path(sys.executable).parent / "ansible-playbook", playbook or self.book / "runbook.yml"
        return [str(program), "-e", json.dumps(variables), *arguments, str(runbook)]

    def play(
        self, *arguments: str, playbook: Path | None = None, through: Sequence[str] = (), **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; `through` are words before the command that change its surroundings."""
        return self._run([*through, *self.command(*arguments, playbook=playbook)], environ)

    def responder(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """The `responder` command in this world."""
        return self._run([str(Path(sys.executable).parent / "responder"), *arguments], environ)

    def drive(self, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run it under the driver."""
        return self.responder(*DRIVEN, **environ)

    def _run(self, command: Sequence[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        if self.forked and not environ and Path(command[0]).parent == Path(sys.executable).parent:
            return forks.run(command, self.environ, self.root, timeout=300)
        return subprocess.run(
            command, env={**self.environ, **environ}, cwd=self.root, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def entries(self, type: str) -> list[audit.Entry]:
        """The entries of one type on the record."""
        with self.ledger.transaction(reading=True) as connection:
            return list(audit.entries(connection, type=type))

    def refusals(self) -> str:
        """Every refusal on the record, as text."""
        return "\n".join(entry.summary for entry in self.entries("gate.blocked"))

    def started(self) -> int:
        """How many actions the record says were started."""
        return len(self.entries("action.started"))


def plain_play() -> Play:
    """What did not help is not undone: whoever attacks the guard sees on the disk what was done."""
    names = {"incident": "{{ incident }}", "service": "{{ service }}", "environment": "{{ target }}"}
    return {
        "name": "Return to the previous release",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "runbook": {
                "id": "roll-back",
                "failure_class": "bad-release",
                "success": {"expect": "ok", "minimum_samples": 1, "hold_s": 0, "interval_s": 0.05, "watch_s": 0.2},
            },
        },
        "tasks": [
            {"name": "Look", "sre.responder.diagnose": dict(names)},
            {
                "name": "Roll back",
                "sre.responder.release_rollback": {**names, "to": "previous", "if_worse": "rollback"},
            },
        ],
    }


class _Service(BaseHTTPRequestHandler):
    """The service: as well as its current release says, and not well where that says nothing."""

    def __init__(self, app: Path, *connection: Any) -> None:
        self.health = app / "current" / "health.json"
        super().__init__(*connection)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.health.read_bytes() if self.health.exists() else b'{"ok": false}')

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def world(root: Path, *, forked: bool = False, **changes: Any) -> Iterator[World]:
    """A world in a folder; `changes` go into its policy."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Service, root / "app"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        app, folder = root / "app", root / "home"
        for release in ("1", "2"):
            (app / "releases" / release).mkdir(parents=True)
        (app / "current").symlink_to("releases/2")
        (app / "deployments.log").write_text("2026-01-01T00:00:00Z 1\n2026-01-02T00:00:00Z 2\n")
        (root / "stop").mkdir()
        folder.mkdir()
        stop_file = {"stop": {"file": str(root / "stop" / "EMERGENCY_STOP")}}
        (folder / "policy.yml").write_text(yaml.safe_dump({"profile": "production", **stop_file, **changes}))
        service = {
            "apiVersion": "backstage.io/v1alpha1",
            "kind": "Component",
            "metadata": {
                "name": "checkout",
                "annotations": {
                    "responder/environments": "staging",
                    "responder/probe-url": f"http://127.0.0.1:{server.server_port}/",
                    "responder/release-root": str(app),
                },
            },
            "spec": {"type": "service"},
        }
        (folder / "catalogue.yml").write_text(yaml.safe_dump(service))
        environ = {
            **forks.ORDINARY,
            "HOME": str(root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RESPONDER_HOME": str(folder),
            "RESPONDER_LEDGER": f"sqlite:///{root / 'state' / 'ledger.db'}",
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        assert policy.load(folder / "policy.yml").profile == "production"
        home = find(environ)
        ledger = ledgers.make(Ledger(home.ledger_url))
        with ledger.transaction() as connection:
            incidents.open_(
                connection,
                ledger.now(connection),
                id="INC-1234",
                service="checkout",
                environment="staging",
                severity="SEV3",
                title="bad",
                actor="test",
            )
        here = World(root, home, ledger, environ, forked)
        here.write()
        yield here
    finally:
        server.shutdown()
        server.server_close()
