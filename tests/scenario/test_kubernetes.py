"""Whole incidents on a real control plane: a real fault, an alert, the ladder, evidence from the cluster and from traffic."""

from __future__ import annotations

import json
import os
import shlex
import signal
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
from control_plane import Cluster, wait_until
from kubernetes_shop import Shop

from sre_responder import runbook
from sre_responder.home import find
from sre_responder.ledger import Ledger, audit

pytestmark = pytest.mark.slow


class _Traffic(BaseHTTPRequestHandler):
    """What users of the shop meet: a pod that serves answers a share of their requests; `NEEDED` of them answer all."""

    NEEDED = 4

    def __init__(self, shop: Shop, *connection: Any) -> None:
        self.shop = shop
        super().__init__(*connection)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"success_rate": min(1.0, len(self.shop.ready()) / self.NEEDED)}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def traffic(shop: Shop) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Traffic, shop))
    threading.Thread(target=server.serve_forever, daemon=True).start()
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

    def responder(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "responder"), *words], env=self.environ, text=True, cwd=self.root,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

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
        "HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RESPONDER_HOME": str(home), "RESPONDER_LEDGER": f"sqlite:///{tmp_path / 'state' / 'ledger.db'}",
        "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200",
    }  # fmt: skip
    with traffic(shop) as url:
        annotations = {
            "backstage.io/kubernetes-id": "shop", "backstage.io/kubernetes-namespace": namespace,
            "responder/kubeconfig": str(own_cluster.kubeconfig), "responder/probe-url": url,
            "responder/kubernetes-peak-replicas": str(_Traffic.NEEDED),
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
        text = (folder / "runbook.yml").read_text().replace("watch_s: 60", "watch_s: 6")
        text = text.replace("kubernetes_restart:\n\n", "kubernetes_restart: {timeout_s: 3}\n\n")
        (into / folder.name).mkdir(parents=True)
        (into / folder.name / "runbook.yml").write_text(text)


FAULTS = {
    "a crash loop": ("KubePodCrashLooping", "crash-2", [("kubernetes_restart", "not_improved"), ("kubernetes_rollback", "improved")]),
    "an image that cannot be pulled": (
        "KubeImagePullBackOff", "bad-pull-2", [("kubernetes_restart", "not_applicable"), ("kubernetes_rollback", "improved")],
    ),
    "a container that is killed for its memory": (
        "PodCrashLoop", "oom-2", [("kubernetes_restart", "not_improved"), ("kubernetes_rollback", "improved")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_ladder_climbs_until_the_cluster_says_healed(team: Team, fault: str) -> None:
    name, tag, expected = FAULTS[fault]
    team.shop.release("1")
    team.shop.release_bad(tag)
    done = team.alert(name)
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)
    assert [(step["action"], step["result"]) for step in run["steps"]] == expected
    assert (team.shop.tag, team.shop.serving()) == ("1", {"1"})


def test_a_service_with_too_few_pods_for_its_load_gets_those_of_a_peak(team: Team) -> None:
    team.shop.release("1", replicas=2)
    done = team.alert("Saturation")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(team.shop.ready()) == _Traffic.NEEDED


def test_a_bad_rollout_is_healed_from_its_alert(team: Team) -> None:
    team.shop.release("1")
    team.shop.release_bad("crash-2")
    done = team.alert("KubeDeploymentRolloutStuck")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (team.shop.tag, team.shop.serving()) == ("1", {"1"})
    assert audit.verify(Ledger(team.environ["RESPONDER_LEDGER"])).ok


def test_a_rollout_that_a_holder_of_the_workload_would_undo_is_refused_and_then_healed(team: Team) -> None:
    """Argo CD keeps the Deployment: refused with its name. Once it lets go, the same alert heals."""
    team.shop.release("1")
    team.shop.release_bad()
    mark = "argocd.argoproj.io/tracking-id"
    team.shop.kubectl("annotate", "deployment", "shop", f"{mark}=shop:apps/Deployment:shop/shop")
    refused = team.alert("BadRollout")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "Argo CD keeps Deployment shop" in refused.stdout + refused.stderr
    assert team.shop.tag == "bad-pull-2"
    team.shop.kubectl("annotate", "deployment", "shop", f"{mark}-")
    done = team.alert("BadRollout")
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.shop.tag == "1"


def test_an_api_server_that_dies_after_the_patch_leaves_the_outcome_to_the_cluster(team: Team) -> None:
    """What happened is read from the cluster once it is back, not remembered."""
    recreate = {"strategy": {"type": "Recreate"}}
    team.shop.release("slow-1", **recreate)
    team.shop.release_bad(**recreate)
    names = ("--incident", team.incident(), "--service", "shop", "--environment", "staging")
    run = team.start("run", "kubernetes-bad-rollout", *names, "--json")
    try:
        wait_until(lambda: team.shop.tag == "slow-1", "the workload is patched", 60)
        team.shop.cluster.stop("kube-apiserver", by=signal.SIGKILL)
        said, _ = run.communicate(timeout=90)
    finally:
        run.kill()
        team.shop.cluster.start("kube-apiserver")
    assert run.returncode == 5, said
    [frozen] = json.loads(team.responder("status", "--json").stdout)["frozen"]
    settled = json.loads(team.responder(*shlex.split(frozen["command"])[1:], "--json").stdout)
    assert settled["became"] == "done"
    wait_until(lambda: team.shop.serving() == {"slow-1"}, "the cluster goes on where it stood")
    assert team.responder("run", "kubernetes-bad-rollout", *names).returncode == 0


def test_demo_says_first_what_it_would_do_then_heals_and_leaves_nothing(own_cluster: Cluster, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def demo(*words: str) -> subprocess.CompletedProcess[str]:
        where = ("--kubernetes", "--kubeconfig", str(own_cluster.kubeconfig))
        return subprocess.run(
            [str(Path(sys.executable).parent / "responder"), "demo", *where, *words], env=environ, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    unnamed = demo()
    assert unnamed.returncode == 2 and "--context" in unnamed.stderr
    previewed = demo("--context", "test")
    assert previewed.returncode == 0 and "create the namespace responder-demo" in previewed.stderr
    assert "responder-demo" not in own_cluster.kubectl("get", "namespaces")
    done = demo("--context", "test", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    [fault] = json.loads(done.stdout)["faults"]
    assert (fault["healed"], fault["rung"], fault["audit_ok"], fault["leftovers"]) == (True, 3, True, [])
    assert "responder-demo" not in own_cluster.kubectl("get", "namespaces")
