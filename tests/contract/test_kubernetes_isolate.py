"""kubernetes_isolate against a real control plane: failing pods, traffic, or all of it; and each way back by plain kubectl."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused, StateMoved

pytestmark = pytest.mark.contract

ISOLATE = EFFECTS["kubernetes_isolate"]
HOW = ("quarantine", "network_policy", "scale_to_zero")
QUARANTINED = "responder.sre/quarantined"
POLICY = "responder-isolate-deployment-shop"


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


@pytest.fixture
def undone(
    shop: Shop, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Change], None]:
    """`undone(change)` runs the undo playbook with plain ansible-playbook and the cluster's kubectl."""
    monkeypatch.setenv("PATH", f"{shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")

    def run(change: Change) -> None:
        done = undo_by_hand("kubernetes_isolate", change)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def planned(shop: Shop, how: str) -> Change:
    return ISOLATE.plan({**shop.arguments, "how": how})


def act(shop: Shop, change: Change, how: str, **more: Any) -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return ISOLATE.act({**shop.arguments, "how": how, **words, **more}, change)


def read(shop: Shop, how: str) -> dict[str, Any]:
    return ISOLATE.read({**shop.arguments, "how": how})


def pods(shop: Shop, *words: str) -> dict[str, Any]:
    return {pod["metadata"]["name"]: pod for pod in shop.cluster.get("pods", "-n", shop.namespace, *words)["items"]}


def half_bad(shop: Shop, tag: str = "crash-2") -> None:
    """A release whose only new pod fails, beside two that serve."""
    shop.release("1")
    shop.release_bad(tag)


# Quarantine.


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_a_failing_pod_stays_for_diagnosis_out_of_its_service_and_is_replaced(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.kubectl("create", "service", "clusterip", "shop", "--tcp=80")
    half_bad(shop)
    before, slices = pods(shop), ("endpointslices", "-n", shop.namespace, "--selector=kubernetes.io/service-name=shop")
    change = planned(shop, "quarantine")
    assert {*pods(shop, f"--selector={QUARANTINED}")} == set(), "the plan is a dry run"
    assert (change.busy, change.capacity) == (None, None)
    assert change.evidence["services"] == ["shop"]
    [sick] = change.after["quarantined"]
    wait_until(lambda: sick in json.dumps(shop.cluster.get(*slices)), "the Service knows it")
    assert ISOLATE.became(change, read(shop, "quarantine")) == "not_done"
    assert act(shop, change, "quarantine")["quarantined"] == [sick]
    held = pods(shop, f"--selector={QUARANTINED}=INC-1234")
    assert {*held} == {sick}
    assert held[sick]["metadata"]["uid"] == before[sick]["metadata"]["uid"]
    assert "app" not in held[sick]["metadata"]["labels"]
    assert json.loads(held[sick]["metadata"]["annotations"]["responder.sre/labels"])["app"] == "shop"
    assert "ownerReferences" not in held[sick]["metadata"]
    wait_until(lambda: len(pods(shop, "--selector=app=shop")) >= len(before), "another takes its place")
    wait_until(lambda: sick not in json.dumps(shop.cluster.get(*slices)), "it gets no traffic")
    assert ISOLATE.became(change, read(shop, "quarantine")) == "done"


def test_a_service_that_finds_the_pod_by_a_label_of_its_own_loses_it_too(shop: Shop) -> None:
    shop.release("1")
    shop.kubectl("create", "service", "clusterip", "web", "--tcp=80")
    shop.kubectl("set", "selector", "service", "web", "tier=web")
    container = {"name": "shop", "image": "registry.test:5000/shop:crash-2"}
    template = {"metadata": {"labels": {"tier": "web"}}, "spec": {"containers": [container]}}
    shop.kubectl("patch", "deployment", "shop", "-p", json.dumps({"spec": {"template": template}}))
    wait_until(lambda: any("waiting" in state for state in shop.states("crash-2")), "the pod fails")
    change = planned(shop, "quarantine")
    act(shop, change, "quarantine")
    [pod] = pods(shop, f"--selector={QUARANTINED}").values()
    assert {"app", "tier"} & {*pod["metadata"]["labels"]} == set()
    assert change.evidence["services"] == ["web"]


def test_undo_of_a_quarantine_deletes_its_pods_and_no_other(shop: Shop, undone: Callable[[Change], None]) -> None:
    half_bad(shop)
    good = {name for name, pod in pods(shop).items() if pod["spec"]["containers"][0]["image"].endswith(":1")}
    change = planned(shop, "quarantine")
    act(shop, change, "quarantine")
    undone(change)
    assert read(shop, "quarantine") == change.before
    assert ISOLATE.became(change, read(shop, "quarantine")) == "not_done"
    assert good <= {*pods(shop)}


def test_what_is_in_quarantine_already_is_left_there_by_the_next_one_and_its_undo(
    shop: Shop, undone: Callable[[Change], None]
) -> None:
    half_bad(shop)
    first = planned(shop, "quarantine")
    act(shop, first, "quarantine")
    wait_until(lambda: planned(shop, "quarantine").changed, "the pod in its place fails too")
    second = planned(shop, "quarantine")
    assert second.before == first.after
    act(shop, second, "quarantine")
    shop.kubectl("rollout", "undo", "deployment/shop")
    wait_until(lambda: not planned(shop, "quarantine").changed, "no pod fails any more: nothing is left to do")
    undone(second)
    assert read(shop, "quarantine") == second.before


def test_a_quarantine_that_was_cut_short_is_told_as_that(shop: Shop) -> None:
    shop.release_bad("crash-1", replicas=2)
    wait_until(lambda: len(planned(shop, "quarantine").after["quarantined"]) == 2, "both are seen to fail")
    change = planned(shop, "quarantine")
    first = change.after["quarantined"][0]
    uid = shop.document["metadata"]["uid"]
    shop.kubectl("label", "pod", first, "app-", f"{QUARANTINED}=INC-1234", f"responder.sre/quarantined-from={uid}")
    assert ISOLATE.became(change, read(shop, "quarantine")) == "cut_short"


def test_a_pod_that_is_well_by_now_voids_the_plan(shop: Shop) -> None:
    half_bad(shop)
    change = planned(shop, "quarantine")
    shop.kubectl("rollout", "undo", "deployment/shop")
    wait_until(lambda: not {*change.after["quarantined"]} & {*pods(shop)}, "the failing pod is gone")
    with pytest.raises(StateMoved, match="fails no longer, or is gone"):
        act(shop, change, "quarantine")


def test_a_full_quota_is_told_for_no_other_pod_takes_the_place(shop: Shop) -> None:
    half_bad(shop)
    shop.kubectl("create", "quota", "small", "--hard=pods=3")
    wait_until(
        lambda: shop.cluster.get("quota", "small", "-n", shop.namespace)["status"].get("used") == {"pods": "3"},
        "the quota has counted",
    )
    assert "ResourceQuota small leaves 0 of pods" in str(planned(shop, "quarantine").evidence["warnings"])


# A network policy.


def test_a_network_policy_denies_all_traffic_of_these_pods(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop, "network_policy")
    assert shop.kubectl("get", "networkpolicy", "-o", "name") == "", "the plan is a dry run"
    assert change.capacity == 0.0
    assert ISOLATE.became(change, read(shop, "network_policy")) == "not_done"
    act(shop, change, "network_policy")
    policy = shop.cluster.get("networkpolicy", POLICY, "-n", shop.namespace)
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"app": "shop"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert policy["metadata"]["annotations"]["responder.sre/incident"] == "INC-1234"
    assert ISOLATE.became(change, read(shop, "network_policy")) == "done"
    assert not planned(shop, "network_policy").changed, "nothing is left to do"


def test_undo_of_a_network_policy_deletes_it(shop: Shop, undone: Callable[[Change], None]) -> None:
    shop.release("1")
    change = planned(shop, "network_policy")
    act(shop, change, "network_policy")
    undone(change)
    assert shop.kubectl("get", "networkpolicy", "-o", "name") == ""
    assert read(shop, "network_policy") == change.before


def network_policy(shop: Shop, name: str, **spec: Any) -> None:
    document = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))


def other_workload(shop: Shop) -> None:
    other = yaml.safe_load(shop.manifest("9"))
    other["metadata"]["name"] = "other"
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(other))
    shop.kubectl("rollout", "status", "deployment/other", "--timeout=60s")


def test_a_policy_of_another_service_is_no_obstacle(shop: Shop) -> None:
    shop.release("1")
    network_policy(shop, "cart", podSelector={"matchLabels": {"app": "cart"}}, ingress=[{}])
    network_policy(shop, "default-deny", podSelector={}, policyTypes=["Ingress"])
    assert planned(shop, "network_policy").changed


# To zero.


def autoscale(shop: Shop) -> None:
    shop.kubectl("autoscale", "deployment", "shop", "--min=2", "--max=3", "--cpu=50%")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_to_zero_ends_all_pods(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    change = planned(shop, "scale_to_zero")
    assert read(shop, "scale_to_zero") == change.before == {"replicas": 2}, "the plan is a dry run"
    assert (change.busy, change.capacity) == (None, 0.0)
    assert ISOLATE.became(change, change.before) == "not_done"
    assert act(shop, change, "scale_to_zero") == {"replicas": 0, "ending": []}
    assert pods(shop) == {}
    assert ISOLATE.became(change, read(shop, "scale_to_zero")) == "done"
    assert not planned(shop, "scale_to_zero").changed, "nothing is left to do"


def test_undo_brings_the_count_back(shop: Shop, undone: Callable[[Change], None]) -> None:
    shop.release("1")
    change = planned(shop, "scale_to_zero")
    act(shop, change, "scale_to_zero")
    undone(change)
    assert read(shop, "scale_to_zero") == change.before
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    assert shop.serving() == {"1"}


def test_an_autoscaler_does_not_fight_and_undo_restores_its_bounds_with_the_count(
    shop: Shop, undone: Callable[[Change], None]
) -> None:
    shop.release("1")
    autoscale(shop)
    change = planned(shop, "scale_to_zero")
    assert change.before == {"zero": False, "autoscaler": "shop", "min": 2, "max": 3}
    act(shop, change, "scale_to_zero")
    scaler = ("hpa", "shop", "-n", shop.namespace)
    wait_until(lambda: "ScalingDisabled" in json.dumps(shop.cluster.get(*scaler)), "the autoscaler stands still", 40)
    assert shop.document["spec"]["replicas"] == 0
    shop.kubectl("patch", "hpa", "shop", "-p", '{"spec":{"minReplicas":1,"maxReplicas":9}}')
    undone(change)
    assert read(shop, "scale_to_zero") == change.before
    assert shop.document["spec"]["replicas"] == 2


def test_a_plan_holds_while_an_autoscaler_moves_the_count(shop: Shop) -> None:
    shop.release("1")
    autoscale(shop)
    change = planned(shop, "scale_to_zero")
    shop.kubectl("scale", "deployment/shop", "--replicas=3")
    assert act(shop, change, "scale_to_zero")["zero"]


def test_pods_that_go_on_are_an_unknown_outcome(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop, "scale_to_zero")
    with shop.cluster.paused("kube-controller-manager"), pytest.raises(OutcomeUnknown, match="pods of it go on: shop-"):
        act(shop, change, "scale_to_zero", timeout_s=1)


def test_a_workload_that_git_keeps_is_left_to_git_where_its_count_would_come_back(shop: Shop) -> None:
    shop.release("1")
    shop.kubectl("label", "deployment", "shop", "kustomize.toolkit.fluxcd.io/name=apps")
    assert "Flux keeps" in str(planned(shop, "scale_to_zero").busy)
    assert planned(shop, "network_policy").busy is None


# All three.

NO_LABEL = {"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}
REFUSED = {
    "no pod fails": ("Deployment", lambda shop: shop.release("1"), "quarantine", "no pod of Deployment shop .* fails"),
    "a StatefulSet's pod keeps its name": (
        "StatefulSet",
        lambda shop: shop.release("1"),
        "quarantine",
        "under its own name only.*network_policy, or scale_to_zero",
    ),
    "a selector that takes in pods without labels": (
        "Deployment",
        lambda shop: shop.release_bad("bad-pull-1", selector=NO_LABEL),
        "quarantine",
        "takes in pods without any label",
    ),
    "labels that others have too": (
        "Deployment",
        lambda shop: (shop.release("1"), other_workload(shop)),
        "network_policy",
        "take in pods of others too: other-",
    ),
    "another policy allows": (
        "Deployment",
        lambda shop: (shop.release("1"), network_policy(shop, "web", podSelector={}, ingress=[{}])),
        "network_policy",
        "allow traffic to Deployment shop .* no other policy can take back: web",
    ),
    "our policy's name is taken": (
        "Deployment",
        lambda shop: (shop.release("1"), network_policy(shop, POLICY, podSelector={}, policyTypes=["Ingress"])),
        "network_policy",
        "exists already, and says something else",
    ),
    "a DaemonSet": ("DaemonSet", lambda shop: shop.release("1"), "scale_to_zero", "no count to set to zero"),
    "another word": ("Deployment", lambda shop: shop.release("1"), "fence", "none of quarantine, network_policy"),
    **{f"no workload for {how}": ("Deployment", lambda shop: None, how, "there is none") for how in HOW},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_words(shop: Shop, case: str) -> None:
    kind, prepare, how, words = REFUSED[case]
    shop = Shop(shop.cluster, shop.namespace, kind)
    prepare(shop)
    with pytest.raises(InputError, match=words):
        planned(shop, how)


MOVES = {
    "the workload is gone": lambda shop, how: shop.kubectl("delete", "deployment", "shop"),
    "another object of that name": lambda shop, how: (shop.kubectl("delete", "deployment", "shop"), shop.apply("1")),
    "it is done by now": lambda shop, how: act(shop, planned(shop, how), how),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str, how: str) -> None:
    half_bad(shop)
    change = planned(shop, how)
    MOVES[case](shop, how)
    with pytest.raises(StateMoved):
        act(shop, change, how)


@pytest.mark.parametrize("how", HOW)
def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop, how: str) -> None:
    half_bad(shop)
    change = planned(shop, how)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop, how).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change, how)


RIGHTS = {
    "quarantine": ("services", "patch Pod shop-", "the verb patch"),
    "network_policy": ("networkpolicies.networking.k8s.io", "create NetworkPolicies", "the verb create"),
    "scale_to_zero": ("horizontalpodautoscalers.autoscaling", "patch Deployment shop", "the verb patch"),
}


@pytest.mark.parametrize("how", HOW)
def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop, how: str) -> None:
    resource, tried, cure = RIGHTS[how]
    half_bad(shop)
    reading = "deployments.apps,replicasets.apps,pods,resourcequotas,limitranges"
    reader = shop.as_account("reader", f"--verb=get,list --resource={reading},{resource}")
    with pytest.raises(EffectFailed, match=f"cannot {tried}.*Grant this account {cure}"):
        planned(reader, how)
