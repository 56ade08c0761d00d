"""kubernetes_scale against a real control plane: the count, or the bounds of whoever sets it, within what the namespace allows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, Refused, StateMoved

pytestmark = pytest.mark.contract

SCALE = EFFECTS["kubernetes_scale"]
KINDS = ("Deployment", "StatefulSet")


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop, replicas: int) -> Change:
    return SCALE.plan({**shop.arguments, "replicas": replicas})


def act(shop: Shop, change: Change, replicas: int, **more: Any) -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return SCALE.act({**shop.arguments, "replicas": replicas, "timeout_s": 40, **words, **more}, change)


def read(shop: Shop) -> dict[str, Any]:
    return SCALE.read(shop.arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wanted", "left"), [(4, None), (1, 0.5)])
def test_so_many_pods_serve_and_the_plan_changes_none(shop: Shop, kind: str, wanted: int, left: float | None) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    change = planned(shop, wanted)
    assert read(shop) == change.before == {"replicas": 2}, "the plan is a dry run"
    assert (change.busy, change.capacity) == (None, left)
    assert SCALE.became(change, read(shop)) == "not_done"
    observed = act(shop, change, wanted)
    assert observed == {"replicas": wanted, "available": f"{wanted}/{wanted}", "not_rolled_out": ""}
    assert SCALE.became(change, read(shop)) == "done"
    assert not planned(shop, wanted).changed, "nothing is left to do"


def test_the_write_names_its_plan_and_leaves_the_revisions_change_cause_alone(shop: Shop) -> None:
    shop.release("1")
    shop.kubectl("annotate", "deployment", "shop", "kubernetes.io/change-cause=release 1")
    act(shop, planned(shop, 3), 3)
    assert shop.document["metadata"]["annotations"]["responder.sre/plan"] == "a1b2c3d4e5f6a7b8"
    assert "release 1" in shop.kubectl("rollout", "history", "deployment/shop")


def autoscale(shop: Shop, least: int = 2, most: int = 3) -> None:
    shop.kubectl("autoscale", "deployment", "shop", f"--min={least}", f"--max={most}", "--cpu=50%")


def test_an_autoscaler_is_given_its_bounds_and_raises_the_count_itself(shop: Shop) -> None:
    shop.release("1")
    autoscale(shop)
    change = planned(shop, 4)
    assert change.before == {"autoscaler": "shop", "min": 2, "max": 3}
    assert change.after == {"autoscaler": "shop", "min": 4, "max": 4}
    observed = act(shop, change, 4)
    assert observed == {**change.after, "available": "4/4", "not_rolled_out": ""}
    assert not planned(shop, 4).changed


def test_an_autoscaler_with_room_keeps_its_ceiling(shop: Shop) -> None:
    shop.release("1")
    autoscale(shop, 2, 9)
    assert planned(shop, 3).after == {"autoscaler": "shop", "min": 3, "max": 9}


@pytest.mark.parametrize("scaled", ["the count", "the autoscaler"])
def test_undo_by_plain_kubectl_restores_what_was(
    shop: Shop, scaled: str, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shop.release("1")
    if scaled == "the autoscaler":
        autoscale(shop)
    change = planned(shop, 4)
    act(shop, change, 4)
    monkeypatch.setenv("PATH", f"{shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    done = undo_by_hand("kubernetes_scale", change)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(shop) == change.before
    assert SCALE.became(change, read(shop)) == "not_done"


def limited(shop: Shop, kind: str, spec: dict[str, Any]) -> None:
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "small"}, "spec": spec}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
    if kind == "ResourceQuota":
        wait_until(
            lambda: (
                set(shop.cluster.get("quota", "small", "-n", shop.namespace)["status"].get("used", ()))
                == set(spec["hard"])
            ),
            "the quota has counted",
        )


ADMISSION = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: SPACE}}
    resourceRules: [{apiGroups: [apps], apiVersions: ['*'], operations: ['*'], resources: [deployments]}]
  validations: [{expression: object.spec.replicas < 3, message: three are too many}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}
"""


def ask(shop: Shop, **resources: Any) -> None:
    """A release whose container asks for resources."""
    text = yaml.safe_load(shop.manifest("1"))
    text["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(text))
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")


REFUSED = {
    "to zero": (lambda shop: shop.release("1"), 0, "outage.*containment: kubernetes_isolate"),
    "below zero": (lambda shop: shop.release("1"), -1, "containment"),
    "more pods than a quota leaves": (
        lambda shop: (shop.release("1"), limited(shop, "ResourceQuota", {"hard": {"pods": "3"}})),
        4,
        "cannot have 4 pods: ResourceQuota small leaves 1 of pods, and 2 more need 2",
    ),
    "more memory than a quota leaves": (
        lambda shop: (
            ask(shop, limits={"memory": "64Mi"}),
            limited(shop, "ResourceQuota", {"hard": {"requests.memory": "160Mi"}}),
        ),
        3,
        "ResourceQuota small leaves 33554432 of requests.memory, and one more needs 67108864",
    ),
    "what a limit range gives by default is counted": (
        lambda shop: (
            limited(shop, "LimitRange", {"limits": [{"type": "Container", "default": {"cpu": 1}}]}),
            shop.release("1"),
            limited(shop, "ResourceQuota", {"hard": {"cpu": "2500m"}}),
        ),
        3,
        "leaves 0.500 of cpu, and one more needs 1",
    ),
    "more than a limit range allows": (
        lambda shop: (
            ask(shop, limits={"cpu": 2}),
            limited(shop, "LimitRange", {"limits": [{"type": "Container", "max": {"cpu": 1}}]}),
        ),
        3,
        "a LimitRange allows a container 1 of cpu at most, and one of it has 2",
    ),
    "an autoscaler that stands still": (
        lambda shop: (shop.release("1"), autoscale(shop), shop.kubectl("scale", "deployment/shop", "--replicas=0")),
        3,
        "scaled to zero.*start nothing",
    ),
    "two autoscalers": (
        lambda shop: (
            shop.release("1"),
            autoscale(shop),
            shop.kubectl("autoscale", "deployment", "shop", "--name=other", "--max=3", "--cpu=50%"),
        ),
        3,
        "2 autoscalers set the count of .*: other, shop",
    ),
    "no workload": (lambda shop: None, 3, "there is none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_words(shop: Shop, case: str) -> None:
    prepare, wanted, words = REFUSED[case]
    prepare(shop)
    with pytest.raises(InputError, match=words):
        planned(shop, wanted)


def test_a_daemonset_has_no_count(shop: Shop) -> None:
    with pytest.raises(InputError, match="one pod on each of its nodes"):
        planned(Shop(shop.cluster, shop.namespace, "DaemonSet"), 3)


def test_what_admission_denies_is_refused_by_the_dry_run(shop: Shop, request: pytest.FixtureRequest) -> None:
    shop.release("1")
    text = ADMISSION.replace("NAME", f"few-{shop.namespace}").replace("SPACE", shop.namespace)
    request.addfinalizer(lambda: shop.cluster.kubectl("delete", "-f", "-", input=text))
    shop.cluster.apply(text)
    three = ("patch", "deployment", "shop", "-p", '{"spec":{"replicas":3}}', "--dry-run=server")
    wait_until(lambda: "too many" in shop.kubectl(*three, check=False), "admission has the policy")
    with pytest.raises(Refused, match=r"admission denies it: .*three are too many"):
        planned(shop, 3)


def test_fewer_pods_need_no_room(shop: Shop) -> None:
    shop.release("1")
    limited(shop, "ResourceQuota", {"hard": {"pods": "2"}})
    assert act(shop, planned(shop, 1), 1)["not_rolled_out"] == ""


def test_pods_that_no_node_takes_are_told_in_the_schedulers_words(shop: Shop) -> None:
    ask(shop, requests={"cpu": 20})
    change = planned(shop, 5)
    observed = act(shop, change, 5, timeout_s=3)
    assert "Insufficient cpu" in observed["not_rolled_out"]
    assert "available after" in observed["not_rolled_out"]
    assert SCALE.became(change, read(shop)) == "done"


def test_an_operators_autoscaler_is_the_operators(shop: Shop) -> None:
    shop.release("1")
    autoscale(shop)
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "shop", "uid": "1", "controller": True}
    patch = yaml.safe_dump({"metadata": {"ownerReferences": [owner]}})
    shop.kubectl("patch", "hpa", "shop", "--type=merge", "-p", patch)
    assert "belongs to ScaledObject shop: change that" in str(planned(shop, 3).busy)


def test_a_rollout_that_does_not_fail_is_somebody_elses_work(shop: Shop) -> None:
    shop.release("1")
    shop.apply("slow-2")
    wait_until(lambda: shop.states("slow-2"), "the rollout begins")
    assert "is rolling out" in str(planned(shop, 3).wait)


def test_the_count_of_the_next_apply_is_told(shop: Shop) -> None:
    shop.release("1")
    [warning] = planned(shop, 3).evidence["warnings"]
    assert "next kubectl apply sets 2 replicas" in warning


MOVES = {
    "another count": lambda shop: shop.kubectl("scale", "deployment/shop", "--replicas=3"),
    "an autoscaler": autoscale,
    "another object of that name": lambda shop: (shop.kubectl("delete", "deployment", "shop"), shop.release("1")),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    shop.release("1")
    change = planned(shop, 4)
    MOVES[case](shop)
    now = read(shop)
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        act(shop, change, 4)
    assert read(shop) == now


def test_a_workload_that_is_gone_voids_the_plan(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop, 4)
    shop.kubectl("delete", "deployment", "shop")
    with pytest.raises(StateMoved, match="there is none"):
        act(shop, change, 4)


def test_bounds_that_moved_since_the_plan_void_it(shop: Shop) -> None:
    shop.release("1")
    autoscale(shop)
    change = planned(shop, 4)
    shop.kubectl("patch", "hpa", "shop", "-p", '{"spec":{"maxReplicas":8}}')
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        act(shop, change, 4)


def test_a_status_that_moves_voids_nothing(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop, 3)
    shop.kubectl("annotate", "deployment", "shop", "seen=yes")
    assert act(shop, change, 3)["not_rolled_out"] == ""


def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop) -> None:
    shop.release("1")
    change = planned(shop, 3)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop, 3).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change, 3)


def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop) -> None:
    shop.release("1")
    reading = "deployments.apps,replicasets.apps,pods,resourcequotas,limitranges"
    blind = shop.as_account("blind", f"--verb=get,list --resource={reading}")
    with pytest.raises(EffectFailed, match=r"cannot list HorizontalPodAutoscalers .*Grant this account the verb list"):
        planned(blind, 3)
    reader = shop.as_account("reader", f"--verb=get,list --resource={reading},horizontalpodautoscalers.autoscaling")
    with pytest.raises(EffectFailed, match=r"cannot patch Deployment shop .*Grant this account the verb patch"):
        planned(reader, 3)
