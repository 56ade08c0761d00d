"""Whole incidents on a real control plane: a real fault, an alert, the ladder, evidence from the cluster and from traffic."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_site import Site
from support.kubernetes_team import Team, Traffic

from sre_responder.home.runbook import SHIPPED
from sre_responder.ledger import Ledger, audit

pytestmark = pytest.mark.slow


HELD = ("kubernetes_hold", "not_applicable")
CRASHED = [
    ("kubernetes_restore", "not_applicable"),
    ("kubernetes_restart", "not_applicable"),
    ("kubernetes_rollback", "improved"),
    ("kubernetes_restore", "healthy"),
]
FAULTS = {
    "a crash loop": ("KubePodCrashLooping", "crash-2", [HELD, *CRASHED]),
    "an image that cannot be pulled": (
        "KubeImagePullBackOff", "bad-pull-2", [HELD, ("kubernetes_restart", "not_applicable"), ("kubernetes_rollback", "improved")],
    ),
    "a container that is killed for its memory": (
        "PodCrashLoop", "oom-2", [HELD, *CRASHED],
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


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """More users come than two pods serve."""
    monkeypatch.setattr(Traffic, "NEEDED", Traffic.PEAK)


@pytest.mark.usefixtures("peak")
def test_a_service_with_too_few_pods_for_its_load_gets_those_of_a_peak(team: Team) -> None:
    team.shop.release("1", replicas=2)
    done = team.alert("Saturation")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(team.shop.ready()) == Traffic.PEAK


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


def test_a_workload_in_order_whose_users_are_not_served_is_left_alone_and_handed_over_with_the_cause(
    team: Team,
) -> None:
    """Somebody shuts the pods off: the newest release is not the reason, whatever came before it."""
    team.shop.release("1")
    team.shop.release("2")
    time.sleep(1.1)  # the API keeps times by the second
    policy = {"podSelector": {}, "policyTypes": ["Ingress"]}
    team.shop.kubectl("apply", "-f", "-", input=yaml.safe_dump({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"}, "spec": policy,
    }))  # fmt: skip
    before = team.shop.document["spec"]
    with unserved():
        done = team.alert("HighRequestErrorRate")
    assert done.returncode == 6, done.stdout + done.stderr
    assert team.shop.document["spec"] == before
    run = json.loads(done.stdout)
    assert run["ending"] == "exhausted" and "Found: NetworkPolicy closed lets no request in" in run["message"]
    incident = json.loads(team.responder("incident", "list", "--json").stdout)[0]["id"]
    shown = " ".join(team.responder("incident", "show", incident).stdout.split())
    assert "found: NetworkPolicy closed lets no request in to the pods by kubectl" in shown
    assert "shop diagnosed: NetworkPolicy closed lets no request in" in team.responder("timeline", incident).stdout


def test_a_release_whose_pods_are_ready_and_serve_nobody_goes_back(team: Team) -> None:
    team.shop.release("1")
    team.shop.release("2", env={"DATABASE": "nowhere"})
    with unserved(while_tag="2"):
        done = team.alert("HighRequestErrorRate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.shop.tag == "1"


@contextmanager
def unserved(while_tag: str | None = None) -> Iterator[None]:
    """Users are not served, at all or while pods of that tag serve."""
    served = Traffic.served

    def share(self: Traffic) -> float:
        return 0.0 if while_tag is None or while_tag in self.shop.ready() else served(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Traffic, "served", share)
        yield


def test_a_preview_says_what_would_be_left_out_and_counts_it_as_that(team: Team) -> None:
    team.shop.release("1")
    team.shop.release_bad()
    names = ("--incident", team.incident(), "--service", "shop", "--environment", "staging")
    told = team.responder("plan", "kubernetes-image-pull", *names)
    assert told.returncode == 0, told.stderr
    assert "would be skipped (not_applicable): A restart would pull the same image" in " ".join(told.stdout.split())
    steps = json.loads(team.responder("plan", "kubernetes-image-pull", *names, "--json").stdout)["steps"]
    [gates] = [step["gates"] for step in steps if step["plan"]]
    assert {gate["name"]: gate["status"] for gate in gates}["progression"] == "passed"
    assert team.shop.tag == "bad-pull-2", "nothing was changed"


KEPT = {
    "kubernetes-crash-loop": ("KubePodCrashLooping", lambda shop: shop.release_bad("crash-2")),
    "kubernetes-image-pull": ("KubeImagePullBackOff", lambda shop: shop.release_bad()),
    "kubernetes-saturation": ("Saturation", lambda shop: None),
}


@pytest.mark.usefixtures("peak")
@pytest.mark.parametrize("book", KEPT)
def test_every_ladder_is_refused_where_git_says_what_runs(team: Team, book: str) -> None:
    name, fault = KEPT[book]
    team.shop.release("1")
    fault(team.shop)
    before = team.shop.document["spec"]
    team.shop.kubectl("annotate", "deployment", "shop", "argocd.argoproj.io/tracking-id=shop:apps/Deployment:shop/shop")
    refused = team.alert(name)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "Argo CD keeps Deployment shop" in refused.stdout
    assert team.shop.document["spec"] == before


def test_a_service_whose_node_is_gone_serves_elsewhere_once_its_budget_lets_it(team: Team, site: Site) -> None:
    site.fill()
    site.budget(2)
    site.lose()
    wait_until(lambda: not team.shop.ready(), "its pods count as not ready")
    refused = team.alert("NodeGone")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "The disruption budget keep" in refused.stdout and len(site.on(site.node)) == 2
    team.shop.kubectl("delete", "pdb", "keep")
    healed = team.alert("NodeGone")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert [(step["action"], step["result"]) for step in json.loads(healed.stdout)["steps"]] == [
        ("kubernetes_evict", "improved")
    ]
    assert team.shop.ready() == ["1", "1"] and site.on(site.other)


def test_a_node_is_taken_out_of_use_by_a_runbook_and_comes_back_by_its_undo(team: Team, site: Site) -> None:
    """A team's own runbook names the node; what it drained stays listed until it is undone."""
    site.fill()
    play = yaml.safe_load((SHIPPED / "kubernetes-node-gone" / "runbook.yml").read_text())
    play[0]["vars"]["runbook"] |= {"id": "node-out", "alerts": "labels.alertname == 'NodeSick'"}
    play[0]["tasks"][1] = {"name": "Take the node out of use", "sre.responder.kubernetes_drain": {"node": site.node}}
    team.register(play)
    incident = team.incident()
    names = ("--incident", incident, "--service", "shop", "--environment", "staging")
    previewed = team.responder("plan", "node-out", *names)
    assert previewed.returncode == 0 and len(site.on(site.node)) == 2, previewed.stderr
    drained = team.responder("run", "node-out", *names, "--json")
    assert drained.returncode == 0, drained.stdout + drained.stderr
    assert json.loads(drained.stdout)["ending"] == "contained"
    assert (site.document["spec"]["unschedulable"], site.on(site.node), len(site.on(site.other))) == (True, [], 2)
    assert team.responder("incident", "close", incident).returncode == 3
    [contained] = json.loads(team.responder("contained", "--json").stdout)
    undone = team.responder(*contained["command"].split()[1:])
    assert undone.returncode == 0, undone.stderr
    assert "unschedulable" not in site.document["spec"]
    assert team.responder("incident", "close", incident).returncode == 0


def test_a_rollout_is_paused_first_and_then_left_and_nothing_of_the_pause_is_left(team: Team) -> None:
    """A team's own ladder: contain, then remedy."""
    play = yaml.safe_load((SHIPPED / "kubernetes-bad-rollout" / "runbook.yml").read_text())
    play[0]["vars"]["runbook"] |= {
        "id": "pause-first",
        "contain_first": True,
        "alerts": "labels.alertname == 'BadNews'",
    }
    play[0]["tasks"][1] = {"name": "Reach no more pods", "sre.responder.kubernetes_pause_rollout": None}
    team.register(play)
    team.shop.release("1", replicas=4)
    team.shop.release_bad("crash-2", replicas=4)
    healed = team.alert("BadNews")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert [(step["action"], step["result"]) for step in json.loads(healed.stdout)["steps"]] == [
        ("kubernetes_pause_rollout", "improved"), ("kubernetes_restore", "not_applicable"),
        ("kubernetes_rollback", "improved"), ("kubernetes_restore", "healthy"),
    ]  # fmt: skip
    assert (team.shop.tag, team.shop.serving()) == ("1", {"1"})
    [contained] = json.loads(team.responder("contained", "--json").stdout)
    undone = team.responder(*contained["command"].split()[1:])
    assert undone.returncode == 0, undone.stderr
    assert team.shop.tag == "1" and json.loads(team.responder("contained", "--json").stdout) == []
    incident = json.loads(team.responder("incident", "list", "--json").stdout)[0]["id"]
    assert team.responder("incident", "close", incident).returncode == 0


def test_a_workload_is_scaled_to_zero_where_the_policy_lets_nothing_be_left_and_comes_back(team: Team) -> None:
    play = yaml.safe_load((SHIPPED / "kubernetes-bad-rollout" / "runbook.yml").read_text())
    play[0]["vars"]["runbook"] |= {"id": "shut", "alerts": "labels.alertname == 'Leak'"}
    play[0]["tasks"][1:-1] = [{"name": "Serve nobody", "sre.responder.kubernetes_isolate": {"how": "scale_to_zero"}}]
    team.register(play)
    team.shop.release("1", replicas=3)
    refused = team.alert("Leak")
    assert refused.returncode == 3 and "this would leave 0% of capacity" in refused.stdout, (
        refused.stdout + refused.stderr
    )
    assert len(team.shop.ready()) == 3
    team.policy(radius={"capacity_left_for": {"kubernetes_isolate": 0}})
    shut = team.alert("Leak")
    assert (shut.returncode, json.loads(shut.stdout)["ending"]) == (0, "contained"), shut.stderr
    assert (team.shop.document["spec"]["replicas"], team.shop.ready()) == (0, [])
    [contained] = json.loads(team.responder("contained", "--json").stdout)
    assert team.responder(*contained["command"].split()[1:]).returncode == 0
    wait_until(lambda: len(team.shop.ready()) == 3, "all serve again")


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
