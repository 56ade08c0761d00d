"""kubernetes_evict against a real control plane: failing pods go through the eviction API alone, and others take their place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop
from support.kubernetes_site import Site

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, NotApplicable, Refused, StateMoved

pytestmark = pytest.mark.contract

EVICT = EFFECTS["kubernetes_evict"]
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop, **more: Any) -> Change:
    return EVICT.plan({**shop.arguments, **more})


def act(shop: Shop, change: Change, **more: Any) -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return EVICT.act({**shop.arguments, **words, **more}, change)


def pods(shop: Shop) -> dict[str, str]:
    """Name and uid of each pod."""
    found = shop.cluster.get("pods", "-n", shop.namespace)["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}


def fail(shop: Shop, pod: str, reason: str = "CrashLoopBackOff") -> str:
    """Let a pod that serves fail, as its kubelet would tell; gives its name."""
    status = shop.cluster.get("pod", pod, "-n", shop.namespace)["status"]["containerStatuses"][0]
    waiting = {**status, "ready": False, "restartCount": 5, "state": {"waiting": {"reason": reason}}}
    conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]
    patch = {"status": {"containerStatuses": [waiting], "conditions": conditions}}
    shop.kubectl("patch", "pod", pod, "--subresource=status", "-p", json.dumps(patch))
    return pod


def budget(shop: Shop, name: str = "keep", healthy: str = "100%") -> None:
    shop.kubectl("create", "pdb", name, "--selector=app=shop", f"--min-available={healthy}")
    wait_until(lambda: shop.cluster.get("pdb", name, "-n", shop.namespace)["status"].get("expectedPods"), "it counts")


@pytest.mark.parametrize("kind", KINDS)
def test_the_failing_pod_goes_and_another_serves_in_its_place(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    well = pods(shop)
    sick = well.pop(fail(shop, min(well)))
    change = planned(shop)
    assert (change.before, change.after, change.busy or change.wait) == ({"pods": [sick]}, {"pods": []}, None)
    assert "CrashLoopBackOff" in str(change.evidence["pods"])
    assert sick in pods(shop).values(), "the plan is a dry run"
    assert EVICT.became(change, EVICT.read(shop.arguments)) == "not_done"
    observed = act(shop, change)
    assert (observed["pods"], observed["ending"], observed["not_replaced"]) == ([], [], "")
    now = {*pods(shop).values()}
    assert (sick in now, {*well.values()} <= now, len(now)) == (False, True, len(well) + 1)
    assert EVICT.became(change, EVICT.read(shop.arguments)) == "done"


def test_one_pod_by_name_goes_whether_it_fails_or_not(shop: Shop) -> None:
    shop.release("1")
    name, uid = min(pods(shop).items())
    change = planned(shop, pod=name)
    assert (change.before, change.capacity) == ({"pods": [uid]}, 0.5)
    assert act(shop, change, pod=name)["not_replaced"] == ""
    assert uid not in pods(shop).values()


def test_an_approval_holds_while_the_pod_still_fails(shop: Shop) -> None:
    shop.release("1")
    pod = fail(shop, min(pods(shop)))
    change = planned(shop)
    fail(shop, pod, "RunContainerError")  # its status moves, and it is the same pod
    assert (planned(shop).before, planned(shop).after) == (change.before, change.after)
    assert act(shop, change)["not_replaced"] == ""


def test_where_its_replacement_fails_too_that_is_told_at_the_deadline(shop: Shop) -> None:
    shop.release_bad("crash-1", replicas=1)
    wait_until(lambda: "CrashLoopBackOff" in str(shop.states("crash-1")), "the loop is seen")
    change = planned(shop)
    observed = act(shop, change, timeout_s=3)
    assert observed["pods"] == []
    assert observed["not_replaced"].startswith("0 of 1 replaced after 3 s")
    assert EVICT.became(change, EVICT.read(shop.arguments)) == "done"


def unschedulable(shop: Shop) -> None:
    shop.apply("1")
    shop.kubectl(
        "patch", "deployment", "shop", "-p", '{"spec": {"template": {"spec": {"nodeSelector": {"disk": "no"}}}}}'
    )
    failed = ("get", "events", "--field-selector", "reason=FailedScheduling", "-o", "name")
    wait_until(lambda: shop.kubectl(*failed), "the scheduler says so")


def strangers_pod(shop: Shop) -> None:
    """One that has the labels of shop, and is not its own."""
    shop.release("1")
    shop.kubectl("create", "-f", "-", input=json.dumps({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "stranger", "labels": {"app": "shop"}, "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": shop.document["metadata"]["uid"][::-1]},
        ]},
        "spec": {"containers": [{"name": "x", "image": "x:bad-pull"}]},
    }))  # fmt: skip


REFUSED = {
    "no pod fails": (lambda shop: shop.release("1"), {}, "no pod of Deployment shop .* fails on a node"),
    "no node takes its pods": (unschedulable, {}, "no pod of Deployment shop .* fails on a node"),
    "no such pod": (lambda shop: shop.release("1"), {"pod": "other"}, "owns no pod 'other'"),
    "a pod of somebody else": (strangers_pod, {"pod": "stranger"}, "owns no pod 'stranger'"),
    "no workload": (lambda shop: None, {}, "there is none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_to_be_evicted_is_refused_with_the_words(shop: Shop, case: str) -> None:
    prepare, options, words = REFUSED[case]
    prepare(shop)
    before = pods(shop)
    with pytest.raises((InputError, NotApplicable), match=words):
        planned(shop, **options)
    assert {*before.items()} <= {*pods(shop).items()}


def test_a_disruption_budget_is_told_as_that_and_nothing_is_deleted_around_it(shop: Shop) -> None:
    shop.release("1")
    name = min(pods(shop))
    change, before = planned(shop, pod=name), pods(shop)
    budget(shop)
    assert "The disruption budget keep needs 2 healthy pods and has 2 currently" in str(planned(shop, pod=name).wait)
    words = r"cannot create eviction of Pod shop-\S+: a PodDisruptionBudget holds it: The disruption budget keep .*Wait until"
    with pytest.raises(EffectFailed, match=words):
        act(shop, change, pod=name)
    assert pods(shop) == before
    assert planned(shop, pod=name).before == change.before, "the guard sees that nothing was changed"


def test_pods_that_serve_nobody_count_against_no_budget_that_is_kept_without_them(shop: Shop) -> None:
    shop.release("1", replicas=3)
    for pod in sorted(pods(shop))[:2]:
        fail(shop, pod)
    budget(shop, healthy="1")
    wait_until(
        lambda: shop.cluster.get("pdb", "keep", "-n", shop.namespace)["status"]["currentHealthy"] == 1, "it sees"
    )
    assert act(shop, planned(shop))["not_replaced"] == ""


def test_a_budget_that_holds_only_the_last_one_is_told_with_those_that_went(shop: Shop) -> None:
    shop.release("1")
    [first, last] = sorted(pods(shop), key=lambda name: pods(shop)[name])
    for pod in (first, last):
        fail(shop, pod)
    change = planned(shop)
    shop.kubectl("label", "pod", last, "keep=yes")
    shop.kubectl("create", "pdb", "keep", "--selector=keep=yes", "--min-available=1")
    wait_until(lambda: shop.cluster.get("pdb", "keep", "-n", shop.namespace)["status"].get("expectedPods"), "it counts")
    with pytest.raises(
        EffectFailed, match=f"evicted: {first}, and then: .*eviction of Pod {last}: .*budget keep needs 1"
    ):
        act(shop, change)
    assert (first in pods(shop), last in pods(shop)) == (False, True)
    assert EVICT.became(change, EVICT.read(shop.arguments)) == "cut_short"


def test_two_budgets_for_one_pod_are_told_for_the_api_knows_no_way(shop: Shop) -> None:
    shop.release("1")
    for name in ("keep", "too"):
        budget(shop, name, "1")
    name = min(pods(shop))
    assert "more than one PodDisruptionBudget" in str(planned(shop, pod=name).wait)
    assert name in pods(shop)


def test_a_rollout_that_does_not_fail_is_somebody_elses_work(shop: Shop) -> None:
    shop.release("1")
    shop.apply("slow-2")
    wait_until(lambda: shop.states("slow-2"), "the rollout begins")
    assert "is rolling out" in str(planned(shop, pod=min(pods(shop))).wait)


def recover(shop: Shop, pod: str) -> None:
    status = shop.cluster.get("pod", pod, "-n", shop.namespace)["status"]["containerStatuses"][0]
    patch = {"status": {"containerStatuses": [{**status, "ready": True, "state": {"running": {}}}],
                        "conditions": [{"type": "Ready", "status": "True"}]}}  # fmt: skip
    shop.kubectl("patch", "pod", pod, "--subresource=status", "-p", json.dumps(patch))


def fail_another(shop: Shop, pod: str) -> None:
    fail(shop, max(pods(shop)))


def anew(shop: Shop, pod: str) -> None:
    shop.kubectl("delete", "deployment", "shop")
    shop.release("1")
    fail(shop, max(pods(shop)))


MOVES: dict[str, Callable[[Shop, str], object]] = {
    "it recovers": recover,
    "another fails too": fail_another,
    "it is deleted": lambda shop, pod: shop.kubectl("delete", "pod", pod),
    "another object of that name": anew,
    "the workload is gone": lambda shop, pod: shop.kubectl("delete", "deployment", "shop"),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    shop.release("1")
    pod = fail(shop, min(pods(shop)))
    change = planned(shop)
    MOVES[case](shop, pod)
    with pytest.raises(StateMoved):
        act(shop, change)
    assert pod not in pods(shop) or case in ("it recovers", "another fails too")


def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop) -> None:
    shop.release("1")
    fail(shop, min(pods(shop)))
    change = planned(shop)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change)


def test_a_death_in_the_middle_is_told_as_cut_short(shop: Shop) -> None:
    shop.release("1")
    uids = [pods(shop)[fail(shop, pod)] for pod in pods(shop)]
    change = planned(shop)
    assert change.before == {"pods": sorted(uids)}
    shop.kubectl("delete", "pod", min(pods(shop)))
    assert EVICT.became(change, EVICT.read(shop.arguments)) == "cut_short"


def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop) -> None:
    shop.release("1")
    fail(shop, min(pods(shop)))
    reader = shop.as_account("reader", "--verb=get,list --resource=deployments.apps,replicasets.apps,pods,leases")
    with pytest.raises(EffectFailed, match=r"cannot create eviction of Pod shop-.*Grant this account the verb create"):
        planned(reader)


def test_pods_on_a_lost_node_are_replaced_elsewhere_without_waiting_for_its_word(site: Site) -> None:
    site.fill()
    site.lose()
    wait_until(lambda: not site.shop.ready(), "its pods count as not ready")
    change = EVICT.plan(site.shop.arguments)
    assert len(change.evidence["pods"]) == 2
    began = time.monotonic()
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234", "timeout_s": 60}
    observed = EVICT.act({**site.shop.arguments, **words}, change)
    assert (observed["pods"], observed["ending"], observed["not_replaced"]) == ([], [], "")
    assert site.shop.ready() == ["1", "1"] and time.monotonic() - began < 30
    assert EVICT.became(change, EVICT.read(site.shop.arguments)) == "done"
