"""A shop of five services, each a process that calls those it needs; run as a program this is one of them.

A release says in `health.json` whether its service is well, and for which callers it is broken all the same. A service is well if
its release is, and if what it needs answers it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NEEDS = {"web": ("api", "search"), "api": ("stock", "db"), "search": ("db",), "stock": (), "db": ()}
TIERS = {"web": "edge", "api": "middleware", "search": "middleware", "stock": "backend", "db": "backend"}


def answering(name: str, root: Path, needed: list[str]) -> type[BaseHTTPRequestHandler]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release = json.loads((root / "current" / "health.json").read_text())
            caller = self.path.rpartition("/for/")[2] if "/for/" in self.path else None
            well = (release["ok"] if caller is None else caller not in release["broken_for"]) and all(
                map(reached, needed)
            )
            self.send_response(200 if well else 500)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    def reached(url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/for/{name}", timeout=2):
                return True
        except OSError:
            return False

    return Answers


@dataclass
class Services:
    """The five processes and their releases; each stands at release 2, before which there was release 1."""

    root: Path
    urls: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> None:
        for name in ("db", "stock", "search", "api", "web"):
            for release in ("1", "2"):
                (self.root / name / "releases" / release).mkdir(parents=True)
                self.release(name, release)
            (self.root / name / "current").symlink_to("releases/2")
            (self.root / name / "deployments.log").write_text("2026-01-01T00:00:00Z 1\n2026-01-02T00:00:00Z 2\n")
            needed = [self.urls[one] for one in NEEDS[name]]
            command = [sys.executable, "-E", "-S", __file__, name, str(self.root / name), *needed]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
            self.processes.append(process)
            assert process.stdout is not None
            self.urls[name] = process.stdout.readline().strip()

    def release(self, name: str, release: str, *, ok: bool = True, broken_for: tuple[str, ...] = ()) -> None:
        """What a release is like."""
        path = self.root / name / "releases" / release / "health.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"ok": ok, "broken_for": broken_for}))
        os.replace(draft, path)

    def current(self, name: str) -> str:
        return (self.root / name / "current").readlink().name

    def catalogue(self) -> list[dict[str, Any]]:
        return [
            {
                "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                "metadata": {
                    "name": name,
                    "annotations": {
                        "responder/environments": "staging", "responder/tier": TIERS[name], "responder/probe-url": self.urls[name],
                        "responder/release-root": str(self.root / name),
                    },
                },
                "spec": {"type": "service", "owner": "shop", "dependsOn": [f"component:{one}" for one in needed]},
            }
            for name, needed in NEEDS.items()
        ]  # fmt: skip

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
