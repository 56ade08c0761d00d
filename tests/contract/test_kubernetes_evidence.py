"""What evidence and diagnosis read of a workload on a real control plane, well and ill."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop
from support.looking import sample

from sre_responder.effects import EFFECTS
from sre_responder.effects.kubernetes.diagnosis import diagnose
from sre_responder.evidence.sources.kubernetes import Kubernetes
from sre_responder.evidence.workload import read

pytestmark = pytest.mark.contract

DEFAULT = Kubernetes()


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_workload_that_serves_is_well(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    found = sample(DEFAULT, shop.arguments)
    assert (found.ok, "failing 0, restarts 0" in found.reason) == (True, True)


def test_restarts_count_within_the_window_alone(shop: Shop) -> None:
    shop.release("1")
    shop.release_bad("crash-2")
    wait_until(lambda: read(shop.arguments, 60)["restarts"] >= 1, "a restart is seen")
    facts = read(shop.arguments, 60)
    assert (facts["rolled_out"], facts["failing"], facts["reasons"]) == (False, 1, ["shop: CrashLoopBackOff"])
    assert sample(DEFAULT, shop.arguments).ok is False
    assert read(shop.arguments, 0.001)["restarts"] == 0


def test_an_expression_of_the_runbooks_own_is_judged(shop: Shop) -> None:
    shop.release("1", replicas=3)
    most = Kubernetes(expect="available >= `2`")
    more = Kubernetes(expect="available >= `4`")
    no_answer = Kubernetes(expect="reasons[0]")
    assert [sample(one, shop.arguments).ok for one in (most, more, no_answer)] == [True, False, None]


def test_warnings_of_the_window_are_evidence_where_a_runbook_asks_for_them(shop: Shop) -> None:
    shop.release("1")
    quiet = Kubernetes(expect="length(events) == `0`")
    assert sample(quiet, shop.arguments).ok is True
    assert "events" not in read(shop.arguments, 60), "nobody asked"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(quota))
    wait_until(lambda: shop.cluster.get("quota", "few", "-n", shop.namespace)["status"].get("used"), "it counts")
    shop.kubectl("scale", "deployment", "shop", "--replicas=3")
    wait_until(lambda: read(shop.arguments, 60, asked="events")["events"] == ["FailedCreate"], "a pod is refused")
    assert sample(quiet, shop.arguments).ok is False
    assert read(shop.arguments, 0.001, asked="events")["events"] == [], "before the window"


def test_a_workload_scaled_to_zero_is_not_called_well(shop: Shop) -> None:
    shop.release("1", replicas=0)
    assert sample(DEFAULT, shop.arguments).ok is None


def test_what_cannot_be_read_is_not_measured(shop: Shop) -> None:
    found = sample(DEFAULT, shop.arguments)
    assert (found.ok, "there is none" in found.reason) == (None, True)


def test_diagnosis_tells_what_a_person_would_look_for(shop: Shop) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"},
               "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}}  # fmt: skip
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "two"},
              "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "shop"}}}}  # fmt: skip
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "9"}}}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "auto"},
              "spec": {"maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}}}  # fmt: skip
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([service, budget, quota, scaler]))
    shop.release("1")
    shop.release_bad("oom-2")
    wait_until(lambda: diagnose(shop.arguments)["pods"]["ended"], "the container was ended")
    wait_until(lambda: diagnose(shop.arguments)["services"].get("front", {}).get("ready_addresses") == 2, "two serve")
    found = diagnose(shop.arguments)
    assert [(one["revision"], one["current"]) for one in found["revisions"]] == [(2, True), (1, False)]
    assert (found["rollout"]["rolled_out"], found["rollout"]["available"]) == (False, 2)
    assert found["pods"]["ended"] == {"OOMKilled 137": 1}
    assert list(found["pods"]["troubled"].values()) == ["shop: CrashLoopBackOff"]
    assert "BackOff" in found["events"][0]
    assert found["disruption_budgets"]["two"] == {"allowed_disruptions": 0, "healthy": 2, "needed": 2}
    assert found["autoscalers"]["auto"]["max"] == 4
    assert found["quotas"]["few"]["pods"].endswith(" of 9")
    assert found["nodes"] and not any(found["nodes"].values())


SELECTORS = {
    "by label": {"selector": {"matchLabels": {"app": "shop"}}},
    "by expression": {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop"]}]}},
    "all": {"selector": {}},
    "others": {"selector": {"matchLabels": {"app": "other"}}},
    "none": {},
}


def test_diagnosis_tells_every_budget_that_covers_the_pods_however_it_chooses_them(shop: Shop) -> None:
    shop.release("1")
    head = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    budgets = [
        {**head, "metadata": {"name": name.replace(" ", "-")}, "spec": {"minAvailable": 0, **spec}}
        for name, spec in SELECTORS.items()
    ]
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(budgets))
    assert {*diagnose(shop.arguments)["disruption_budgets"]} == {"by-label", "by-expression", "all"}


def test_a_part_that_may_not_be_read_says_so_and_the_others_are_told(shop: Shop) -> None:
    shop.release("1")
    shop.kubectl("create", "serviceaccount", "reader")
    shop.kubectl("create", "role", "reader", "--verb=get,list", "--resource=deployments.apps,replicasets.apps,pods")
    shop.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={shop.namespace}:reader")
    reader = Shop(shop.cluster.as_account("reader", shop.namespace), shop.namespace)
    found = diagnose(reader.arguments)
    assert found["rollout"]["rolled_out"] is True
    assert "cannot list Events" in found["events"]["unknown"]


def given(shop: Shop, pod: str, status: dict[str, Any]) -> None:
    """A status as kubelet would have written it."""
    words = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    shop.kubectl("patch", "pod", pod, *words)


def test_a_pod_that_was_evicted_and_left_behind_says_nothing_of_the_workload(shop: Shop) -> None:
    shop.release("1")
    restarted = {"name": "shop", "image": "x", "imageID": "", "ready": False, "restartCount": 3,
                 "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": now()}}}  # fmt: skip
    unready = [{"type": "Ready", "status": "False", "reason": "PodFailed", "lastTransitionTime": now()}]
    status = {"phase": "Failed", "reason": "Evicted", "conditions": unready, "containerStatuses": [restarted]}
    given(shop, shop.pods()[0], status)
    wait_until(lambda: len(shop.pods()) == 3 and len(shop.ready()) == 2, "another took its place")
    wait_until(lambda: sample(DEFAULT, shop.arguments).ok, "all is well")
    facts = read(shop.arguments, 60)
    assert (facts["failing"], facts["restarts"], facts["reasons"]) == (0, 0, [])
    assert diagnose(shop.arguments)["pods"]["troubled"] == {}


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "PostStartHookError", "SignatureValidationFailed"])
def test_a_release_that_will_not_start_can_be_left_at_once_whatever_the_reason_is_called(
    shop: Shop, reason: str
) -> None:
    shop.release("1")
    shop.apply("bad-pull-2")
    wait_until(lambda: any("waiting" in state for state in shop.states("bad-pull-2")), "it fails")
    pods = shop.cluster.get("pods", "-n", shop.namespace)["items"]
    [sick] = [pod for pod in pods if pod["spec"]["containers"][0]["image"].endswith("bad-pull-2")]
    [container] = sick["status"]["containerStatuses"]
    waiting = {**container, "state": {"waiting": {"reason": reason}}}
    given(shop, sick["metadata"]["name"], {"phase": "Running", "containerStatuses": [waiting]})  # kwok lets this be
    found = sample(DEFAULT, shop.arguments)
    assert (found.ok, f"shop: {reason}" in found.reason) == (False, True), found
    assert EFFECTS["kubernetes_rollback"].plan({**shop.arguments, "to": "previous"}).wait is None


def test_a_pod_of_a_job_with_the_same_labels_says_nothing_of_the_workload(shop: Shop) -> None:
    shop.release("1")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "once", "image": "registry.test:5000/shop:bad-pull-3"}]},
    }}}  # fmt: skip
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(job))
    wait_until(lambda: any("waiting" in state for state in shop.states("bad-pull-3")), "the job's pod fails")
    assert sample(DEFAULT, shop.arguments).ok is True


def test_a_namespace_that_is_not_there_is_named(shop: Shop) -> None:
    found = sample(DEFAULT, {**shop.arguments, "namespace": "nowhere"})
    assert (found.ok, "namespace 'nowhere' does not exist at https://" in found.reason) == (None, True), found.reason


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
