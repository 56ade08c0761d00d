"""The test cluster is a real control plane, and its pretended kubelet does what `tests/cluster/stages.yml` says."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, Refused, takes_pods, wait_until

pytestmark = pytest.mark.contract

Document = dict[str, Any]


def workload(kind: str, image: str, replicas: int = 3) -> Document:
    """A workload called shop whose one container has this image."""
    spec: Document = {
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{"name": "shop", "image": f"registry.test:5000/{image}"}]},
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}


def apply(cluster: Cluster, namespace: str, *documents: Document) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump_all(documents))


def pods(cluster: Cluster, namespace: str) -> list[Document]:
    return list(cluster.get("pods", "-n", namespace)["items"])


def containers(cluster: Cluster, namespace: str) -> list[Document]:
    return [status for pod in pods(cluster, namespace) for status in pod["status"].get("containerStatuses", [])]


def conditions(document: Document) -> dict[str, Document]:
    return {entry["type"]: entry for entry in document["status"].get("conditions", [])}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def ready(cluster: Cluster, namespace: str, kind: str = "deployment") -> None:
    cluster.kubectl("rollout", "status", f"{kind}/shop", "-n", namespace, "--timeout=30s")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_pods_of_a_good_image_are_ready_on_three_nodes(own_cluster: Cluster, namespace: str, kind: str) -> None:
    apply(own_cluster, namespace, workload(kind, "shop:1"))
    ready(own_cluster, namespace, kind)
    found = pods(own_cluster, namespace)
    assert [conditions(pod)["Ready"]["status"] for pod in found] == ["True"] * 3
    assert {pod["spec"]["nodeName"] for pod in found} <= {"node-1", "node-2", "node-3"}


def test_a_good_image_at_a_registry_with_a_bad_name_is_ready(own_cluster: Cluster, namespace: str) -> None:
    apply(own_cluster, namespace, workload("Deployment", "crash/bad-pull:1"))
    ready(own_cluster, namespace)


def test_an_image_that_cannot_be_pulled_never_takes_over(own_cluster: Cluster, namespace: str) -> None:
    apply(own_cluster, namespace, workload("Deployment", "shop:1"))
    ready(own_cluster, namespace)
    apply(own_cluster, namespace, workload("Deployment", "shop:bad-pull-2"))

    def waiting() -> list[Document]:
        return [status for status in containers(own_cluster, namespace) if "waiting" in status["state"]]

    (bad,) = wait_until(waiting, "one container waits")
    assert (bad["state"]["waiting"]["reason"], bad["ready"], bad["restartCount"]) == ("ImagePullBackOff", False, 0)
    status = own_cluster.get("deployment", "shop", "-n", namespace)["status"]
    assert (status["availableReplicas"], status["updatedReplicas"]) == (3, 1)
    assert "timed out" in own_cluster.kubectl(
        "rollout", "status", "deployment/shop", "-n", namespace, "--timeout=1s", check=False
    )


@pytest.mark.parametrize(("tag", "end"), [("crash-2", ("Error", 1)), ("oom", ("OOMKilled", 137))])
def test_a_crashing_container_is_restarted_ever_again(
    own_cluster: Cluster, namespace: str, tag: str, end: tuple[str, int]
) -> None:
    apply(own_cluster, namespace, workload("Deployment", f"shop:{tag}", replicas=1))

    def restarted() -> list[Document]:
        return [status for status in containers(own_cluster, namespace) if status["restartCount"] >= 2]

    (bad,) = wait_until(restarted, "the second restart")
    assert (bad["state"]["waiting"]["reason"], bad["ready"]) == ("CrashLoopBackOff", False)
    assert (bad["lastState"]["terminated"]["reason"], bad["lastState"]["terminated"]["exitCode"]) == end
    assert "BackOff" in [event["reason"] for event in own_cluster.get("events", "-n", namespace)["items"]]


def test_a_slow_container_runs_five_seconds_before_it_is_ready(own_cluster: Cluster, namespace: str) -> None:
    apply(own_cluster, namespace, workload("Deployment", "shop:slow", replicas=1))
    ready(own_cluster, namespace)
    (pod,) = pods(own_cluster, namespace)
    waited = moment(conditions(pod)["Ready"]["lastTransitionTime"]) - moment(pod["status"]["startTime"])
    assert waited >= timedelta(seconds=4)  # the cluster's own times, of which it keeps whole seconds


def test_a_container_that_fails_later_finishes_its_rollout_first(own_cluster: Cluster, namespace: str) -> None:
    apply(own_cluster, namespace, workload("Deployment", "shop:fails-later"))

    def failed() -> bool:
        found = conditions(own_cluster.get("deployment", "shop", "-n", namespace))
        finished = found["Progressing"]["reason"] == "NewReplicaSetAvailable"
        return finished and found["Available"]["status"] == "False"

    wait_until(failed, "the rollout was finished, and is no longer available")
    assert [status["state"].keys() for status in containers(own_cluster, namespace)] == [{"running"}] * 3


def test_undo_brings_back_the_named_revision(cluster: Cluster, namespace: str) -> None:
    for version in ("1", "2", "3"):
        apply(cluster, namespace, workload("Deployment", f"shop:{version}"))
        ready(cluster, namespace)
    history = cluster.kubectl("rollout", "history", "deployment/shop", "-n", namespace)
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2", "3"]
    cluster.kubectl("rollout", "undo", "deployment/shop", "-n", namespace, "--to-revision=1")
    ready(cluster, namespace)
    images = ["registry.test:5000/shop:1"] * 3
    wait_until(lambda: [status["image"] for status in containers(cluster, namespace)] == images, "three of version 1")


def test_a_deleted_workload_takes_its_pods_along(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, workload("Deployment", "shop:crash"))
    wait_until(lambda: len(pods(cluster, namespace)) == 3, "three pods")
    cluster.kubectl("delete", "deployment", "shop", "-n", namespace)
    wait_until(lambda: not pods(cluster, namespace), "no pods")


READER = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list"]}],
    },
]  # fmt: skip


def binding(role: str, account: str, namespace: str, kind: str = "Role") -> Document:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }  # fmt: skip


def test_an_account_may_do_what_its_role_says_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    apply(cluster, namespace, *READER, binding("reader", "reader", namespace))
    reader = cluster.as_account("reader", namespace)
    wait_until(lambda: reader.get("pods", "-n", namespace)["items"] == [], "the role binding holds")
    with pytest.raises(Refused, match=r'cannot create resource "configmaps"'):
        reader.kubectl("create", "configmap", "mine", "-n", namespace)


def test_a_policy_with_a_parameter_denies_until_the_parameter_is_gone(cluster: Cluster, namespace: str) -> None:
    account = f"system:serviceaccount:{namespace}:healer"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
                ]
            },
            "matchConditions": [{"name": "healer", "expression": f"request.userInfo.username == '{account}'"}],
            "validations": [{"expression": "false", "messageExpression": "'stopped: ' + params.data.reason"}],
        },
    }
    bound = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace,
            "validationActions": ["Deny"],
            "paramRef": {"name": "stop", "namespace": namespace, "parameterNotFoundAction": "Allow"},
        },
    }
    apply(
        cluster, namespace,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "healer"}},
        binding("edit", "healer", namespace, kind="ClusterRole"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stop"}, "data": {"reason": "database is moving"}},
    )  # fmt: skip
    cluster.apply(yaml.safe_dump_all([policy, bound]))
    healer = cluster.as_account("healer", namespace)

    def attempt() -> str:
        return healer.kubectl("create", "configmap", "mine", "-n", namespace, "--dry-run=server", check=False)

    try:
        wait_until(lambda: "stopped: database is moving" in attempt(), "the policy denies")
        cluster.kubectl("delete", "configmap", "stop", "-n", namespace)
        wait_until(lambda: "configmap/mine created" in attempt(), "the policy allows")
    finally:
        cluster.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", namespace)


def test_an_eviction_against_the_budget_is_refused(cluster: Cluster, namespace: str) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "shop"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "shop"}}},
    }
    apply(cluster, namespace, workload("StatefulSet", "shop:1", replicas=2), budget)
    ready(cluster, namespace, "statefulset")

    def allowed(count: int) -> bool:
        status = cluster.get("pdb", "shop", "-n", namespace)["status"]
        return (status["disruptionsAllowed"], status["currentHealthy"]) == (count, 2)

    def evict() -> str:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "shop-0", "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/shop-0/eviction"
        return cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body), check=False)

    wait_until(lambda: allowed(0), "the budget is counted")
    assert "Cannot evict pod as it would violate the pod's disruption budget" in evict()
    cluster.kubectl("patch", "pdb", "shop", "-n", namespace, "-p", '{"spec": {"minAvailable": 1}}')
    wait_until(lambda: allowed(1), "the budget is counted again")
    assert json.loads(evict())["status"] == "Success"


def test_an_api_server_that_was_killed_comes_back_with_its_data(own_cluster: Cluster, namespace: str) -> None:
    apply(own_cluster, namespace, workload("Deployment", "shop:1"))
    ready(own_cluster, namespace)
    before = own_cluster.get("deployment", "shop", "-n", namespace)["metadata"]
    own_cluster.stop("kube-apiserver", by=signal.SIGKILL)
    try:
        assert "refused" in own_cluster.kubectl("get", "nodes", check=False)
    finally:
        own_cluster.start("kube-apiserver")
    after = own_cluster.get("deployment", "shop", "-n", namespace)["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    apply(own_cluster, namespace, workload("Deployment", "shop:2"))
    ready(own_cluster, namespace)


def test_a_paused_etcd_makes_requests_time_out_and_loses_nothing(own_cluster: Cluster, namespace: str) -> None:
    with own_cluster.paused("etcd"):
        said = own_cluster.kubectl("create", "configmap", "held", "-n", namespace, "--request-timeout=2s", check=False)
    assert "configmap/held created" not in said
    own_cluster.kubectl("create", "configmap", "later", "-n", namespace)
    assert own_cluster.get("configmap", "later", "-n", namespace)["metadata"]["name"] == "later"


@pytest.mark.slow
def test_a_node_without_its_label_is_gone_until_it_has_it_again(own_cluster: Cluster) -> None:
    def takes(name: str) -> bool:
        return bool(takes_pods(own_cluster.get("node", name)))

    own_cluster.kubectl("label", "node", "node-3", "kubelet-")
    try:
        wait_until(lambda: not takes("node-3"), "the node is gone", seconds=90)
        assert takes("node-1") and takes("node-2")
    finally:
        own_cluster.kubectl("label", "node", "node-3", "kubelet=kwok")
        wait_until(lambda: takes("node-3"), "the node is back", seconds=90)
