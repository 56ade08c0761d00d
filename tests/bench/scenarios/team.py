"""The people who run the application: their home as the docs make it, and what they type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.control_plane import wait_until

from bench.scenarios.application import Service
from sre_responder.home.runbook import SHIPPED

RUN_SECONDS = 300
"""Longer than a run of any shipped runbook; one that takes longer is ended, and counts as neither healed nor handed over."""
SHORT = {"watch_s: 45": "watch_s: 8", "hold_s: 15": "hold_s: 3", "interval_s: 0.5": "interval_s: 0.2"}
ENVIRONMENT = "staging"
REMEMBER_SECONDS = 120


@dataclass(frozen=True)
class Team:
    """A home, and the command line in it."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    def responder(self, *words: str) -> subprocess.CompletedProcess[str]:
        programs = Path(sys.executable).parent
        environ = {
            "HOME": str(self.root), "LANG": "C.UTF-8", "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "200",
            "RESPONDER_HOME": str(self.home), "RESPONDER_LEDGER": f"sqlite:///{self.root}/state/ledger.db",
        }  # fmt: skip
        return subprocess.run(
            [str(programs / "responder"), *words], env=environ, cwd=self.root, text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip

    def must(self, *words: str) -> str:
        """What a command prints that has to succeed."""
        done = self.responder(*words)
        if done.returncode:
            raise AssertionError(f"responder {' '.join(words)}: {done.stderr}")
        return done.stdout

    def told(self, *words: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.must(*words, "--json"))


def settle(root: Path, kubeconfig: Path, services: Sequence[Service], probes: str, *, quick: bool) -> Team:
    """A home whose catalogue knows the services, with every shipped runbook for Kubernetes registered."""
    team = Team(root)
    (root / "stop").mkdir()
    team.home.mkdir()
    policy = {"profile": "team", "stop": {"file": str(root / "stop/EMERGENCY_STOP")}}
    (team.home / "policy.yml").write_text(yaml.safe_dump(policy))
    front = _component("storefront", {}, [f"component:{service.name}" for service in services])
    known = [_component(service.name, _annotations(service, kubeconfig, probes), []) for service in services]
    (team.home / "catalogue.yml").write_text(yaml.safe_dump_all([front, *known]))
    books = sorted(SHIPPED.glob("kubernetes-*"))
    if quick:
        for book in books:
            _shortened(book, team.home / "runbooks" / book.name)
    team.must("ledger", "upgrade")
    team.must("runbooks", "register", *(book.name for book in books))
    # As the timer of the docs does while all is well; a probe of a busy machine may be late.
    known_good = ("kubernetes", "known-good", "--all")
    wait_until(lambda: team.responder(*known_good).returncode == 0, "every service is remembered", REMEMBER_SECONDS)
    return team


def _shortened(book: Path, into: Path) -> None:
    """The runbook as the team's own, with a watch of seconds."""
    text = (book / "runbook.yml").read_text()
    for slow, fast in SHORT.items():
        text = text.replace(slow, fast)
    into.mkdir(parents=True)
    (into / "runbook.yml").write_text(text)


def _component(name: str, annotations: dict[str, str], depends_on: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": name, "annotations": {"responder/environments": ENVIRONMENT, **annotations}},
        "spec": {"type": "service", "dependsOn": depends_on},
    }


def _annotations(service: Service, kubeconfig: Path, probes: str) -> dict[str, str]:
    return {
        "backstage.io/kubernetes-namespace": service.namespace,
        "backstage.io/kubernetes-id": service.name,
        "responder/kubernetes-kind": service.kind,
        "responder/kubernetes-name": service.name,
        "responder/kubeconfig": str(kubeconfig),
        "responder/probe-url": f"{probes}{service.namespace}/{service.name}",
    }
