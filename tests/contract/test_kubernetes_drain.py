"""kubernetes_drain against a real control plane: a node without new pods, the old ones evicted, and only its own cordon lifted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, node, wait_until
from support.kubernetes_shop import Shop, definition
from support.kubernetes_site import Site

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes.manifests import manifests
from sre_responder.errors import EffectFailed, InputError, Refused, StateMoved

pytestmark = pytest.mark.contract

DRAIN = EFFECTS["kubernetes_drain"]
Document = dict[str, Any]


def test_a_drained_node_is_cordoned_and_its_pods_serve_elsewhere(site: Site) -> None:
    site.fill()
    change = site.plan()
    assert (change.before, change.busy) == ({"cordoned": False, "drained": False}, None)
    assert change.target == f"kubernetes:node/{site.node}:{site.document['metadata']['uid']}"
    assert len(change.evidence["pods"]) == 2
    assert (site.document["spec"].get("unschedulable"), len(site.on(site.node))) == (None, 2), "the plan is a dry run"
    assert DRAIN.became(change, DRAIN.read(site.arguments)) == "not_done"
    assert site.act(change) == {"cordoned": True, "drained": True, "stay": [], "unconfirmed": []}
    assert site.document["spec"]["unschedulable"] is True
    wait_until(lambda: len(site.on(site.other)) == 2, "they are on the other node")
    assert DRAIN.became(change, DRAIN.read(site.arguments)) == "done"
    assert not site.plan().changed


UndoByHand = Callable[[str, Change], subprocess.CompletedProcess[str]]


@pytest.fixture
def undo(site: Site, undo_by_hand: UndoByHand, monkeypatch: pytest.MonkeyPatch) -> UndoByHand:
    monkeypatch.setenv("PATH", f"{site.shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    return undo_by_hand


def test_undo_uncordons_the_node_by_hand(site: Site, undo: UndoByHand) -> None:
    site.fill()
    change = site.plan()
    site.act(change)
    done = undo("kubernetes_drain", change)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not site.document["spec"].get("unschedulable")
    assert DRAIN.became(change, DRAIN.read(site.arguments)) == "not_done"


def test_a_node_that_was_cordoned_before_stays_so_after_the_undo(site: Site, undo: UndoByHand) -> None:
    site.fill()
    site.shop.cluster.kubectl("cordon", site.node)
    change = site.plan()
    assert (change.before, change.undo) == ({"cordoned": True, "drained": False}, [])
    assert "was cordoned before" in change.undo_note
    assert site.act(change)["drained"]
    assert undo("kubernetes_drain", change).returncode == 0
    assert site.document["spec"]["unschedulable"] is True


def test_pods_of_a_daemonset_and_mirror_pods_stay_and_are_told(site: Site) -> None:
    site.fill()
    every = Shop(site.shop.cluster, site.shop.namespace, "DaemonSet", "every")
    every.kubectl("apply", "-f", "-", input=site.placed(every.manifest("1")))
    every.kubectl("rollout", "status", "daemonset/every", "--timeout=60s")
    site.pod("mirror", annotations={"kubernetes.io/config.mirror": "abc"})
    change = site.plan()
    [ds, mirror] = change.evidence["stay"]
    assert (ds.startswith(f"{site.shop.namespace}/every-"), mirror) == (True, f"{site.shop.namespace}/mirror")
    assert site.act(change) == {"cordoned": True, "drained": True, "stay": [ds, mirror], "unconfirmed": []}
    assert len(site.on(site.node)) == 2


def test_a_pod_without_a_controller_is_refused_with_its_name(site: Site) -> None:
    site.pod("alone")
    with pytest.raises(InputError, match=rf"no controller would recreate these pods .*: {site.shop.namespace}/alone\."):
        site.plan()
    assert (len(site.on(site.node)), site.document["spec"].get("unschedulable")) == (1, None)


def test_a_node_that_is_not_there_is_refused(site: Site) -> None:
    with pytest.raises(InputError, match="cannot get Node other: there is none"):
        DRAIN.plan({**site.arguments, "node": "other"})


def test_data_in_an_empty_dir_is_told(site: Site) -> None:
    site.fill(replicas=1, volumes=[{"name": "scratch", "emptyDir": {}}])
    [told] = site.plan().evidence["warnings"]
    assert told.endswith("loses what its emptyDir holds")


def test_the_plan_tells_the_share_of_nodes_that_go_on(site: Site) -> None:
    assert site.plan().capacity == pytest.approx(4 / 5)
    site.shop.cluster.kubectl("cordon", site.other)
    assert site.plan().capacity == pytest.approx(3 / 5)


def test_a_budget_is_waited_for_while_pods_come_up_elsewhere(site: Site) -> None:
    site.fill(replicas=3)
    site.budget(2)
    assert site.act(site.plan())["drained"]
    assert len(site.shop.ready()) >= 2


def test_a_budget_that_holds_until_the_deadline_is_told_with_what_is_left(site: Site) -> None:
    site.fill()
    site.budget(2)
    change = site.plan()
    assert "waits for a PodDisruptionBudget: pod shop-" in str(change.evidence["warnings"])
    assert change.busy is None
    words = rf"is cordoned, and then: after 2 s these pods are still on it: {site.shop.namespace}/shop-\S+ \(The disruption budget keep"
    with pytest.raises(EffectFailed, match=words):
        site.act(change, timeout_s=2)
    assert (len(site.on(site.node)), site.document["spec"]["unschedulable"]) == (2, True)
    assert DRAIN.became(change, DRAIN.read(site.arguments)) == "cut_short"


def test_a_node_that_is_lost_is_drained_of_what_nobody_there_can_confirm(site: Site) -> None:
    site.fill()
    site.lose()
    change = site.plan()
    assert change.before == {"cordoned": False, "drained": False}
    observed = site.act(change)
    assert (observed["drained"], len(observed["unconfirmed"])) == (True, 2)
    wait_until(lambda: site.shop.ready() == ["1", "1"], "others serve")
    assert len(site.on(site.other)) == 2
    assert DRAIN.became(change, DRAIN.read(site.arguments)) == "done"
    assert not site.plan().changed


MOVES: dict[str, Callable[[Site], object]] = {
    "somebody cordons it": lambda site: site.shop.cluster.kubectl("cordon", site.node),
    "a pod without a controller comes": lambda site: site.pod("alone"),
    "another node of that name": lambda site: (
        site.shop.cluster.kubectl("delete", "node", site.node),
        site.shop.cluster.apply(yaml.safe_dump(node(site.node))),
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(site: Site, case: str) -> None:
    site.fill()
    change = site.plan()
    MOVES[case](site)
    before = bool(site.document["spec"].get("unschedulable"))
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        site.act(change)
    assert bool(site.document["spec"].get("unschedulable")) == before


def test_a_node_that_another_responder_holds_is_left_to_it(site: Site) -> None:
    site.fill()
    change = site.plan()
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": "elsewhere/1/1.00"},
        "metadata": {"name": f"responder-{site.document['metadata']['uid']}", "namespace": "kube-system"},
    }  # fmt: skip
    site.shop.cluster.apply(json.dumps(lease))
    assert "another Responder holds" in str(site.plan().busy)
    with pytest.raises(Refused, match=r"another Responder holds .*elsewhere"):
        site.act(change)
    assert len(site.on(site.node)) == 2


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def kured(name: str, age: float = 60, ttl: float = 0) -> Document:
    return {"nodeID": name, "metadata": {}, "created": ago(age), "TTL": int(ttl * 1e9)}


KURED = {
    "none": (lambda name: None, None),
    "this node": (kured, "kured reboots Node"),
    "another node": (lambda name: kured("other"), None),
    "one of several": (lambda name: {"maxOwners": 2, "locks": [kured("other"), kured(name)]}, "kured reboots Node"),
    "several others": (lambda name: {"maxOwners": 2, "locks": None}, None),
    "still in its time": (lambda name: kured(name, ttl=120), "kured reboots Node"),
    "past its time": (lambda name: kured(name, ttl=30), None),
    "no lock that anybody can read": (lambda name: {"x": 1}, "kured's lock says what nobody can read"),
}


@pytest.mark.parametrize("case", KURED)
def test_kureds_lock_is_respected(site: Site, case: str) -> None:
    make, words = KURED[case]
    daemon = yaml.safe_load(Shop(site.shop.cluster, "kube-system", "DaemonSet", "kured").manifest("1"))
    daemon["spec"]["template"]["spec"]["nodeSelector"] = {"kured": "nowhere"}
    if value := make(site.node):
        daemon["metadata"]["annotations"] = {"weave.works/kured-node-lock": json.dumps(value)}
    text = yaml.safe_dump(daemon)
    site.shop.cluster.kubectl("-n", "kube-system", "apply", "-f", "-", input=text)
    try:
        busy = site.plan().busy
    finally:
        site.shop.cluster.kubectl("-n", "kube-system", "delete", "-f", "-", input=text)
    assert busy is None if words is None else words in str(busy)


MEDIK8S = {
    "held": ({"holderIdentity": "node-healthcheck", "leaseDurationSeconds": 600}, 60, "node-healthcheck holds Node"),
    "expired": ({"holderIdentity": "node-healthcheck", "leaseDurationSeconds": 30}, 60, None),
    "given back": ({"leaseDurationSeconds": 600}, 60, None),
}


@pytest.fixture(scope="module")
def leases(cluster: Cluster) -> Iterator[str]:
    """The namespace in which medik8s keeps its Leases."""
    cluster.kubectl("create", "namespace", "medik8s-leases")
    yield "medik8s-leases"
    cluster.kubectl("delete", "namespace", "medik8s-leases", "--wait=false")


@pytest.mark.parametrize("case", MEDIK8S)
def test_a_lease_of_medik8s_is_respected(site: Site, leases: str, case: str) -> None:
    spec, age, words = MEDIK8S[case]
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {**spec, "renewTime": ago(age)},
        "metadata": {"name": f"node-{site.node}", "namespace": leases},
    }  # fmt: skip
    site.shop.cluster.apply(json.dumps(lease))
    busy = site.plan().busy
    assert busy is None if words is None else words in str(busy)


@pytest.fixture(scope="module")
def machines(cluster: Cluster) -> Iterator[None]:
    """The cluster knows the Machines of Cluster API."""
    text = yaml.safe_dump(definition("Machine"))
    cluster.apply(text)
    wait_until(lambda: cluster.kubectl("get", "machines", "-A") or True, "Machines are served")
    yield
    cluster.kubectl("delete", "-f", "-", input=text)


def of_machine(site: Site) -> None:
    """The marks of Cluster API on a node that it has made."""
    marks = ("cluster.x-k8s.io/machine=worker", f"cluster.x-k8s.io/cluster-namespace={site.shop.namespace}")
    site.shop.cluster.kubectl("annotate", "node", site.node, *marks)


UNDER_WAY = {"conditions": [{"type": "OwnerRemediated", "status": "False"}]}
MACHINES = {
    "at rest": ({}, {}, None),
    "to be remediated": ({"cluster.x-k8s.io/remediate-machine": ""}, {}, "Cluster API remediates Node"),
    "under remediation": ({}, UNDER_WAY, "Cluster API remediates Node"),
    "paused": ({"cluster.x-k8s.io/paused": "true"}, UNDER_WAY, None),
}


@pytest.mark.parametrize("case", MACHINES)
def test_a_machine_that_cluster_api_remediates_is_left_to_it(site: Site, machines: None, case: str) -> None:
    marks, status, words = MACHINES[case]
    of_machine(site)
    machine = {
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Machine", "spec": {}, "status": status,
        "metadata": {"name": "worker", "annotations": marks},
    }  # fmt: skip
    site.shop.kubectl("apply", "-f", "-", input=json.dumps(machine))
    busy = site.plan().busy
    assert busy is None if words is None else words in str(busy)


def test_a_machine_that_is_deleted_is_left_to_cluster_api(site: Site, machines: None) -> None:
    of_machine(site)
    machine = {
        "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Machine", "spec": {},
        "metadata": {"name": "worker", "finalizers": ["test.example/wait"]},
    }  # fmt: skip
    site.shop.kubectl("apply", "-f", "-", input=json.dumps(machine))
    site.shop.kubectl("delete", "machine", "worker", "--wait=false")
    try:
        busy = site.plan().busy
    finally:
        site.shop.kubectl("patch", "machine", "worker", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert "Cluster API deletes Node" in str(busy)


def test_a_machine_that_another_cluster_keeps_is_only_told(site: Site) -> None:
    of_machine(site)
    change = site.plan()
    assert change.busy is None
    assert change.evidence["warnings"] == ["Cluster API may replace the node (Machine worker), and its cordon with it"]


RIGHTS = {
    "nodes": ("patch", "cannot patch Node"),
    "pods": ("list", "cannot list Pods"),
    "pods/eviction": ("create", "cannot create eviction of Pod shop-"),
    "daemonsets": ("get", "cannot get DaemonSet kured"),
    "machines": ("get", "cannot get Machine worker"),
    "leases": ("get", "cannot get Lease responder-"),
}


def test_its_role_is_enough_and_without_one_right_the_error_names_it(site: Site) -> None:
    """The role that the manifests make, bound to an account that has it and the reading of nodes, and nothing else."""
    admin, namespace = site.shop.cluster, site.shop.namespace
    made = [one for one in manifests(namespace) if one["metadata"]["name"] in
            (f"{namespace}-kubernetes-drain", f"{namespace}-outside") or one["kind"] == "ServiceAccount"]  # fmt: skip
    text = yaml.safe_dump_all(made)
    admin.apply(text)
    try:
        account = replace(site, shop=replace(site.shop, cluster=admin.as_account("responder", namespace)))
        site.fill()
        of_machine(site)
        wait_until(lambda: tried(account) is None, "the account has its rights")
        role = f"{namespace}-kubernetes-drain"
        rules = admin.get("clusterrole", role)["rules"]
        for resource, (verb, words) in RIGHTS.items():
            fewer = [
                {**rule, "verbs": [v for v in rule["verbs"] if (rule["resources"], v) != ([resource], verb)]}
                for rule in rules
            ]
            fewer = [rule for rule in fewer if rule["verbs"]]
            admin.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": fewer}))
            wait_until(lambda w=words: w in str(tried(account)), f"without {verb} {resource}: {words}")
        admin.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": rules}))
        wait_until(lambda: tried(account) is None, "the account has its rights again")
        assert account.act(account.plan())["drained"]
        account.shop.cluster.kubectl("uncordon", site.node)
    finally:
        admin.kubectl("delete", "-f", "-", "--ignore-not-found", input=text)


def tried(site: Site) -> str | None:
    """What the platform refuses of the plan."""
    try:
        site.plan()
    except EffectFailed as refused:
        return str(refused)
    return None
