"""kubernetes_restart against a real control plane: every pod anew, and never a rollout that could not finish."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, NotApplicable, Refused, StateMoved

pytestmark = pytest.mark.contract

RESTART = EFFECTS["kubernetes_restart"]
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop) -> Change:
    return RESTART.plan(shop.arguments)


def act(shop: Shop, change: Change, **more: Any) -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return RESTART.act({**shop.arguments, **words, **more}, change)


def pods(shop: Shop) -> set[str]:
    return {pod["metadata"]["uid"] for pod in shop.cluster.get("pods", "-n", shop.namespace)["items"]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_is_replaced_and_the_plan_replaces_none(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    document, old = shop.document, pods(shop)
    change = planned(shop)
    assert (shop.document["spec"], pods(shop)) == (document["spec"], old), "the plan is a dry run"
    assert change.busy is None
    assert RESTART.became(change, RESTART.read(shop.arguments)) == "not_done"
    observed = act(shop, change)
    assert observed["not_rolled_out"] == ""
    wait_until(lambda: not pods(shop) & old, "the old pods are gone")
    assert (shop.tag, shop.serving()) == ("1", {"1"})
    assert RESTART.became(change, RESTART.read(shop.arguments)) == "done"


def test_a_plan_holds_until_somebody_restarts_and_each_restart_is_a_new_one(shop: Shop) -> None:
    shop.release("1")
    first, again = planned(shop), planned(shop)
    assert (first.before, first.after) == (again.before, again.after), "no clock stands in what is approved"
    act(shop, first)
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        act(shop, again)
    once = RESTART.read(shop.arguments)["restarted"]
    act(shop, planned(shop))
    assert RESTART.read(shop.arguments)["restarted"] > once


def test_the_next_apply_restarts_nothing(shop: Shop) -> None:
    shop.release("1")
    act(shop, planned(shop))
    template = shop.document["spec"]["template"]
    shop.apply("1")
    assert shop.document["spec"]["template"] == template


def test_kubectls_history_names_incident_and_plan(shop: Shop) -> None:
    shop.release("1")
    act(shop, planned(shop))
    history = shop.kubectl("rollout", "history", "deployment/shop")
    assert "INC-1234: restart by Responder, plan a1b2c3d4e5f6" in history
    assert shop.document["metadata"]["annotations"]["responder.sre/plan"] == "a1b2c3d4e5f6a7b8"


SHARES = {
    "a quarter by default": ({"replicas": 4}, 0.75),
    "a quarter of two is none, for there is a surge": ({"replicas": 2}, 1.0),
    "neither surge nor share is one pod": (
        {"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}},
        0.75,
    ),
    "half": ({"replicas": 4, "strategy": {"rollingUpdate": {"maxUnavailable": 2}}}, 0.5),
    "Recreate leaves nothing": ({"replicas": 2, "strategy": {"type": "Recreate"}}, 0.0),
}


@pytest.mark.parametrize("case", SHARES)
def test_the_plan_tells_how_much_stays_available(shop: Shop, case: str) -> None:
    spec, share = SHARES[case]
    shop.apply("1", **spec)
    assert planned(shop).capacity == share


@pytest.mark.parametrize(("kind", "share"), [("StatefulSet", 0.5), ("DaemonSet", 2 / 3)])
def test_other_kinds_take_out_one_pod_at_a_time(shop: Shop, kind: str, share: float) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    assert planned(shop).capacity == pytest.approx(share)


QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}}


def quota(shop: Shop) -> None:
    """Exactly as many pods as there are now."""
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(QUOTA))
    wait_until(
        lambda: shop.cluster.get("quota", "small", "-n", shop.namespace)["status"].get("used") == {"pods": "2"},
        "the quota has counted",
    )


def unschedulable(shop: Shop) -> None:
    """A pod that no node takes beside those that serve."""
    shop.release("1")
    text = yaml.safe_load(shop.manifest("2"))
    text["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "none"}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(text))
    failed = ("get", "events", "--field-selector", "reason=FailedScheduling", "-o", "name")
    wait_until(lambda: shop.kubectl(*failed), "the scheduler says so")


REFUSED = {
    "paused": (
        "Deployment",
        lambda shop: (shop.release("1"), shop.kubectl("rollout", "pause", "deployment/shop")),
        "it is paused.*kubectl rollout resume deployment/shop",
    ),
    "OnDelete": (
        "DaemonSet",
        lambda shop: shop.apply("1", updateStrategy={"type": "OnDelete"}),
        "OnDelete.*Delete its pods one by one",
    ),
    "a partition": (
        "StatefulSet",
        lambda shop: shop.release("1", updateStrategy={"rollingUpdate": {"partition": 1}}),
        "partition 1 holds",
    ),
    "scaled to zero": ("Deployment", lambda shop: shop.apply("1", replicas=0), "no pod of it is wanted"),
    "the image is gone": (
        "Deployment",
        lambda shop: (shop.release("1"), shop.release_bad()),
        "would not help: pod .* is shop: ImagePullBackOff, and so would be the pods of a restart",
    ),
    "no node takes its pods": (
        "Deployment",
        unschedulable,
        "would not help: pod .* is unschedulable: .*didn't match Pod's node",
    ),
    "the quota is used up": (
        "Deployment",
        lambda shop: (shop.release("1"), quota(shop)),
        "no room for the surge: ResourceQuota small leaves 0 of pods, and one more needs 1",
    ),
    "no workload": ("Deployment", lambda shop: None, "there is none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_rollout_that_could_not_finish_is_refused_with_the_words(shop: Shop, case: str) -> None:
    kind, prepare, words = REFUSED[case]
    shop = Shop(shop.cluster, shop.namespace, kind)
    prepare(shop)
    with pytest.raises((InputError, NotApplicable), match=words):
        planned(shop)


def test_a_full_quota_is_no_obstacle_where_old_pods_go_first(shop: Shop) -> None:
    shop.release("1", strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    quota(shop)
    assert act(shop, planned(shop))["not_rolled_out"] == ""


def test_a_disruption_budget_is_told_and_is_no_obstacle(shop: Shop) -> None:
    shop.release("1")
    shop.kubectl("create", "pdb", "keep", "--selector=app=shop", "--min-available=100%")
    wait_until(lambda: shop.cluster.get("pdb", "keep", "-n", shop.namespace)["status"].get("expectedPods"), "it counts")
    change = planned(shop)
    assert change.evidence["budgets"] == ["keep allows 0 disruptions now; a rollout does not ask it"]
    assert act(shop, change)["not_rolled_out"] == ""


def test_a_crash_loop_may_be_restarted(shop: Shop) -> None:
    shop.release_bad("crash-1")
    wait_until(lambda: "CrashLoopBackOff" in str(planned(shop).evidence["troubles"]), "the loop is seen")
    change = planned(shop)
    assert (change.busy, change.wait) == (None, None)
    assert "available after 1 s" in act(shop, change, timeout_s=1)["not_rolled_out"]
    assert RESTART.became(change, RESTART.read(shop.arguments)) == "done"


def test_a_broken_pod_of_a_statefulset_is_not_waited_for(shop: Shop) -> None:
    """Its controller replaces no pod while one is broken, not even by a rollout."""
    shop = Shop(shop.cluster, shop.namespace, "StatefulSet")
    shop.release_bad("crash-1")
    wait_until(lambda: planned(shop).evidence["troubles"], "the loop is seen")
    old = pods(shop)
    act(shop, planned(shop), timeout_s=1)
    wait_until(lambda: pods(shop) and not pods(shop) & old, "the broken pod is replaced")


def test_a_rollout_that_does_not_fail_is_somebody_elses_work(shop: Shop) -> None:
    shop.release("1")
    shop.apply("slow-2")
    wait_until(lambda: shop.states("slow-2"), "the rollout begins")
    assert "is rolling out" in str(planned(shop).wait)


MOVES = {
    "a newer release": (lambda shop: shop.apply("2"), "has changed since it was planned"),
    "a restart by a person": (
        lambda shop: shop.kubectl("rollout", "restart", "deployment/shop"),
        "has changed since it was planned",
    ),
    "a pause": (
        lambda shop: shop.kubectl("rollout", "pause", "deployment/shop"),
        "no longer finish a restart: it is paused",
    ),
    "another object of that name": (
        lambda shop: (shop.kubectl("delete", "deployment", "shop"), shop.release("1")),
        "has changed since it was planned",
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    move, words = MOVES[case]
    shop.release("1")
    change = planned(shop)
    move(shop)
    template = shop.document["spec"]["template"]
    with pytest.raises(StateMoved, match=words):
        act(shop, change)
    assert shop.document["spec"]["template"] == template


def test_a_workload_that_is_gone_voids_the_plan(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop)
    shop.kubectl("delete", "deployment", "shop")
    with pytest.raises(StateMoved, match="there is none"):
        act(shop, change)


def test_a_status_that_moves_voids_nothing(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop)
    shop.kubectl("annotate", "deployment", "shop", "seen=yes")
    assert act(shop, change)["not_rolled_out"] == ""


def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change)


def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop) -> None:
    shop.release("1")
    reading = "deployments.apps,replicasets.apps,pods,resourcequotas,limitranges"
    reader = shop.as_account("reader", f"--verb=get,list --resource={reading}")
    with pytest.raises(EffectFailed, match=r"cannot patch Deployment shop .*Grant this account the verb patch"):
        planned(reader)
