"""A team whose shop runs on a real control plane: its traffic, its home, and what it types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from sre_responder.home import find, runbook
from sre_responder.ledger import Ledger
from support import forks
from support.control_plane import Cluster
from support.kubernetes_shop import Shop


class Traffic(BaseHTTPRequestHandler):
    """What users of the shop meet: a pod that serves answers a share of their requests; as many as are needed answer all."""

    NEEDED, PEAK = 1, 4

    def __init__(self, shop: Shop, *connection: Any) -> None:
        self.shop = shop
        super().__init__(*connection)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"success_rate": self.served()}).encode())

    def served(self) -> float:
        """The share of requests that is answered well."""
        return min(1.0, len(self.shop.ready()) / self.NEEDED)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def traffic(shop: Shop) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Traffic, shop))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Team:
    """A home whose catalogue knows where the shop runs, and its ledger."""

    shop: Shop
    root: Path
    environ: dict[str, str]

    def policy(self, **changes: Any) -> None:
        """The policy of the team's home has these lines besides."""
        file = self.root / "home" / "policy.yml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))

    def register(self, play: list[dict[str, Any]]) -> None:
        """A runbook of the team's own."""
        name = play[0]["vars"]["runbook"]["id"]
        folder = self.root / "home" / "runbooks" / name
        folder.mkdir()
        (folder / "runbook.yml").write_text(yaml.safe_dump(play, sort_keys=False))
        done = self.responder("runbooks", "register", name)
        assert done.returncode == 0, done.stderr

    def responder(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "responder"), *words]
        return forks.run(command, self.environ, self.root, timeout=120)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "responder"), *words], env=self.environ, text=True, cwd=self.root,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def incident(self) -> str:
        words = ("--service", "shop", "--environment", "staging", "--severity", "SEV3", "--title", "bad rollout")
        return str(json.loads(self.responder("incident", "open", *words, "--json").stdout)["incident"])

    def alert(self, name: str) -> subprocess.CompletedProcess[str]:
        """An alert fires, as Alertmanager tells it."""
        labels = {"alertname": name, "service": "shop", "environment": "staging", "severity": "high"}
        file = self.root / "alert.json"
        file.write_text(
            json.dumps({"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": labels}]})
        )
        return self.responder("respond", "--alert", str(file), "--json")


@pytest.fixture
def team(own_cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Team]:
    shop = Shop(own_cluster, namespace)
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "stop").mkdir()
    policy = {"profile": "team", "stop": {"file": str(tmp_path / "stop" / "EMERGENCY_STOP")}}
    (home / "policy.yml").write_text(yaml.safe_dump(policy))
    environ = {
        **forks.ORDINARY, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RESPONDER_HOME": str(home), "RESPONDER_LEDGER": f"sqlite:///{tmp_path / 'state' / 'ledger.db'}",
        "COLUMNS": "200",
    }  # fmt: skip
    with traffic(shop) as url:
        annotations = {
            "responder/environments": "staging", "backstage.io/kubernetes-id": "shop", "backstage.io/kubernetes-namespace": namespace,
            "responder/kubeconfig": str(own_cluster.kubeconfig), "responder/probe-url": url,
            "responder/kubernetes-peak-replicas": str(Traffic.PEAK),
        }  # fmt: skip
        component = {
            "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
            "metadata": {"name": "shop", "annotations": annotations}, "spec": {"type": "service"},
        }  # fmt: skip
        (home / "catalogue.yml").write_text(yaml.safe_dump(component))
        Ledger(find(environ).ledger_url).upgrade()
        _hurry(home / "runbooks")
        runbook.register(home, sorted((home / "runbooks").iterdir()))
        yield Team(shop, tmp_path, environ)


def _hurry(into: Path) -> None:
    """The shipped runbooks as a team's own, which wait seconds where the shipped ones wait minutes."""
    for folder in runbook.SHIPPED.glob("kubernetes-*"):
        text = (folder / "runbook.yml").read_text()
        for slow, quick in (
            ("watch_s: 45", "watch_s: 6"),
            ("hold_s: 15", "hold_s: 1"),
            ("interval_s: 0.5", "interval_s: 0.05"),
        ):
            text = text.replace(slow, quick)
        text = text.replace("kubernetes_restart:\n\n", "kubernetes_restart: {timeout_s: 3}\n\n")
        (into / folder.name).mkdir(parents=True)
        (into / folder.name / "runbook.yml").write_text(text)
