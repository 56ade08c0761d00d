"""kubernetes_pause_rollout against a real control plane: the release reaches no more pods, until it is resumed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused, StateMoved

pytestmark = pytest.mark.contract

PAUSE = EFFECTS["kubernetes_pause_rollout"]


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop) -> Change:
    return PAUSE.plan(shop.arguments)


def act(shop: Shop, change: Change, **more: Any) -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return PAUSE.act({**shop.arguments, **words, **more}, change)


def rolling(shop: Shop, tag: str = "slow-2") -> None:
    """A rollout in the middle: the first of four pods is of the new release, and not ready yet."""
    shop.release("1", replicas=4)
    shop.apply(tag, replicas=4)
    wait_until(lambda: shop.states(tag), "the rollout begins")


def updated(shop: Shop) -> int:
    return int(shop.document["status"].get("updatedReplicas", 0))


def test_a_rollout_in_progress_reaches_no_more_pods(shop: Shop) -> None:
    rolling(shop)
    change = planned(shop)
    assert not shop.document["spec"].get("paused"), "the plan is a dry run"
    assert change.busy is None, "what shall be paused is not in its own way"
    assert PAUSE.became(change, PAUSE.read(shop.arguments)) == "not_done"
    observed = act(shop, change)
    assert observed["paused"]
    reached = updated(shop)
    assert 0 < reached < 4
    wait_until(lambda: shop.serving() == {"1", "slow-2"}, "the pods that it reached become ready")
    assert updated(shop) == reached
    assert PAUSE.became(change, PAUSE.read(shop.arguments)) == "done"
    assert not planned(shop).changed, "paused already: nothing is left to do"
    assert shop.document["metadata"]["annotations"]["responder.sre/plan"] == "a1b2c3d4e5f6a7b8"


def test_undo_by_plain_kubectl_resumes_the_rollout(
    shop: Shop, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rolling(shop)
    change = planned(shop)
    act(shop, change)
    monkeypatch.setenv("PATH", f"{shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    done = undo_by_hand("kubernetes_pause_rollout", change)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PAUSE.read(shop.arguments) == change.before
    assert PAUSE.became(change, PAUSE.read(shop.arguments)) == "not_done"
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    assert shop.serving() == {"slow-2"}


def test_a_rollout_that_fails_is_paused_too_and_the_trouble_is_told(shop: Shop) -> None:
    rolling(shop, "bad-pull-2")
    wait_until(lambda: planned(shop).evidence["troubles"], "the trouble is seen")
    change = planned(shop)
    assert "ImagePullBackOff" in str(change.evidence["troubles"])
    assert act(shop, change)["available"] in ("3/4", "4/4")


REFUSED = {
    "nothing rolls out": ("Deployment", lambda shop: shop.release("1"), "nothing rolls out"),
    "every pod is of the newest template, well or not": (
        "Deployment",
        lambda shop: (
            shop.apply("crash-1"),
            wait_until(lambda: shop.document["status"].get("updatedReplicas") == 2, "both are made"),
        ),
        "nothing rolls out: every pod",
    ),
    "a StatefulSet": ("StatefulSet", lambda shop: shop.release("1"), "rollout of a StatefulSet cannot be paused"),
    "a DaemonSet": ("DaemonSet", lambda shop: shop.release("1"), "rollout of a DaemonSet cannot be paused"),
    "no workload": ("Deployment", lambda shop: None, "there is none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_words(shop: Shop, case: str) -> None:
    kind, prepare, words = REFUSED[case]
    shop = Shop(shop.cluster, shop.namespace, kind)
    prepare(shop)
    with pytest.raises(InputError, match=words):
        planned(shop)


def test_who_would_resume_it_is_told(shop: Shop) -> None:
    rolling(shop)
    shop.kubectl("label", "deployment", "shop", "kustomize.toolkit.fluxcd.io/name=apps")
    assert "Flux keeps" in str(planned(shop).busy)


MOVES = {
    "a newer release": (lambda shop: shop.apply("slow-3", replicas=4), "has changed since it was planned"),
    "a pause by a person": (
        lambda shop: shop.kubectl("rollout", "pause", "deployment/shop"),
        "has changed since it was planned",
    ),
    "the end of the rollout": (
        lambda shop: shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s"),
        "has replaced all its pods",
    ),
    "another object of that name": (
        lambda shop: (shop.kubectl("delete", "deployment", "shop"), shop.apply("slow-2")),
        "has changed since it was planned",
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    move, words = MOVES[case]
    rolling(shop)
    change = planned(shop)
    move(shop)
    paused = shop.document["spec"].get("paused")
    with pytest.raises(StateMoved, match=words):
        act(shop, change)
    assert shop.document["spec"].get("paused") == paused


def test_a_workload_that_is_gone_voids_the_plan(shop: Shop) -> None:
    rolling(shop)
    change = planned(shop)
    shop.kubectl("delete", "deployment", "shop")
    with pytest.raises(StateMoved, match="there is none"):
        act(shop, change)


def test_a_controller_that_does_not_see_the_pause_is_an_unknown_outcome(shop: Shop) -> None:
    rolling(shop)
    change = planned(shop)
    with shop.cluster.paused("kube-controller-manager"), pytest.raises(OutcomeUnknown, match="has not seen the pause"):
        act(shop, change, timeout_s=1)
    assert PAUSE.became(change, PAUSE.read(shop.arguments)) == "done"


def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop) -> None:
    rolling(shop)
    change = planned(shop)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change)


def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop) -> None:
    rolling(shop)
    reader = shop.as_account("reader", "--verb=get,list --resource=deployments.apps,replicasets.apps,pods")
    with pytest.raises(EffectFailed, match=r"cannot patch Deployment shop .*Grant this account the verb patch"):
        planned(reader)
