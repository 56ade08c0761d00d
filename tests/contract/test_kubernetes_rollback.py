"""kubernetes_rollback against a real control plane: the named revision, from the workload's own history, nothing in between."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop
from support.looking import sample

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import EffectFailed, InputError, StateMoved
from sre_responder.evidence.sources.kubernetes import Kubernetes

pytestmark = pytest.mark.contract

ROLLBACK = EFFECTS["kubernetes_rollback"]
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop, to: str = "previous") -> Change:
    return ROLLBACK.plan({**shop.arguments, "to": to})


def act(shop: Shop, change: Change, to: str = "previous") -> dict[str, Any]:
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    return ROLLBACK.act({**shop.arguments, "to": to, **words}, change)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_release_goes_back_to_the_one_before_and_serves(shop: Shop, kind: str) -> None:
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    shop.release_bad()
    change = planned(shop)
    assert shop.tag == "bad-pull-2", "the plan is a dry run"
    assert (change.busy, change.wait) == (None, None)
    observed = act(shop, change)
    assert observed["not_rolled_out"] == ""
    assert (shop.tag, shop.serving()) == ("1", {"1"})
    assert ROLLBACK.read(shop.arguments) == change.after
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "done"


@pytest.mark.parametrize("kind", KINDS)
def test_undo_by_plain_kubectl_restores_the_template_byte_for_byte(
    shop: Shop, kind: str, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.release("1")
    shop.release("2")
    before = shop.document["spec"]["template"]
    change = planned(shop)
    act(shop, change)
    monkeypatch.setenv("PATH", f"{shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    done = undo_by_hand("kubernetes_rollback", change)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.document["spec"]["template"] == before
    assert ROLLBACK.read(shop.arguments) == change.before
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "not_done"


def test_previous_never_toggles_back_to_what_a_rollback_has_left(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    shop.release_bad("bad-pull-3")
    act(shop, planned(shop))
    assert shop.tag == "2"
    act(shop, planned(shop))
    assert shop.tag == "1"
    with pytest.raises(InputError, match=r"no revision 'previous'.*bad-pull-3, left by a rollback"):
        planned(shop)


def test_previous_is_not_the_same_thing_before_it_was_restarted(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    for _ in range(2):
        shop.kubectl("rollout", "restart", "deployment/shop")
        shop.kubectl("rollout", "status", "deployment/shop", "--timeout=30s")
        time.sleep(1)  # kubectl marks a restart by the second
    act(shop, planned(shop))
    assert shop.tag == "1"


@pytest.mark.parametrize("to", ["1", "registry.test:5000/shop:1"])
def test_a_revision_is_named_by_number_or_image(shop: Shop, to: str) -> None:
    for tag in ("1", "2", "3"):
        shop.release(tag)
    act(shop, planned(shop, to), to)
    assert shop.tag == "1"


def test_a_revision_is_named_by_the_digest_of_its_image(shop: Shop) -> None:
    digest = f"sha256:{'a1' * 32}"
    shop.release(f"1@{digest}")
    shop.release("2")
    act(shop, planned(shop, digest), digest)
    assert shop.document["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"@{digest}")


REFUSED = {
    "no history": (lambda shop: shop.release("1"), "previous", "no revision 'previous'"),
    "a revision that is not there": (lambda shop: shop.release("1"), "7", "no revision '7'"),
    "the revision that it has": (lambda shop: (shop.release("1"), shop.release("2")), "2", "has the template of revision 2"),
    "a paused workload": (
        lambda shop: (shop.release("1"), shop.release("2"), shop.kubectl("rollout", "pause", "deployment/shop")),
        "previous",
        "is paused",
    ),
    "no workload": (lambda shop: None, "previous", "there is none"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_the_words(shop: Shop, case: str) -> None:
    prepare, to, words = REFUSED[case]
    prepare(shop)
    with pytest.raises(InputError, match=words):
        planned(shop, to)


def paused(shop: Shop) -> None:
    """A release that reaches no more pods, for Responder has paused it."""
    pause = EFFECTS["kubernetes_pause_rollout"]
    shop.release("1", replicas=4)
    shop.apply("slow-2", replicas=4)
    pause.act({**shop.arguments, "_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}, pause.plan(shop.arguments))


def test_a_rollout_that_responder_paused_is_left_for_the_one_before(shop: Shop) -> None:
    paused(shop)
    change = planned(shop)
    assert change.busy is None and "lifts the pause of INC-1234" in str(change.evidence["warnings"])
    assert act(shop, change)["not_rolled_out"] == ""
    assert (shop.tag, shop.serving(), shop.document["spec"].get("paused")) == ("1", {"1"}, None)
    pause = EFFECTS["kubernetes_pause_rollout"]
    held = Change("x", {"paused": False, "template": "of slow-2"}, {})
    assert pause.restored(held, pause.read(shop.arguments)), "nothing of the pause is left to undo"


SINCE = {
    "a person resumed and paused it again": lambda shop: (
        shop.kubectl("rollout", "resume", "deployment/shop"), shop.kubectl("rollout", "pause", "deployment/shop"),
    ),
    "a person set another image while it was paused": lambda shop: shop.kubectl(
        "set", "image", "deployment/shop", "shop=registry.test:5000/shop:3"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SINCE)
def test_a_pause_that_is_no_longer_responders_alone_is_lifted_by_nobody_else(shop: Shop, case: str) -> None:
    paused(shop)
    change = planned(shop)
    SINCE[case](shop)
    with pytest.raises(InputError, match="is paused"):
        planned(shop)
    with pytest.raises(StateMoved):
        act(shop, change)
    assert shop.document["spec"]["paused"]


def test_same_labels_of_another_service_are_never_taken_for_its_history(shop: Shop) -> None:
    """What kubernetes.core.k8s_rollback did: it picked ReplicaSets by label."""
    other = Shop(shop.cluster, shop.namespace, name="other")
    shop.release("1")
    shop.release("2")
    text = yaml.safe_load(other.manifest("evil"))
    text["spec"]["selector"]["matchLabels"] = {"own": "other"}
    text["spec"]["template"]["metadata"]["labels"] = {"app": "shop", "own": "other"}
    other.kubectl("apply", "-f", "-", input=yaml.safe_dump(text))
    other.kubectl("rollout", "status", "deployment/other", "--timeout=30s")
    owned = next(
        item["metadata"]["name"]
        for item in shop.cluster.get("replicasets", "-n", shop.namespace)["items"]
        if item["metadata"]["ownerReferences"][0]["name"] == "other"
    )
    other.kubectl("annotate", "replicaset", owned, "deployment.kubernetes.io/revision=9", "--overwrite")
    act(shop, planned(shop))
    assert shop.tag == "1"
    assert other.tag == "evil"


def test_a_history_that_was_edited_is_refused(shop: Shop) -> None:
    for tag in ("1", "2", "3"):
        shop.release(tag)
    first = next(
        item["metadata"]["name"]
        for item in shop.cluster.get("replicasets", "-n", shop.namespace)["items"]
        if item["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1")
    )
    shop.kubectl("annotate", "replicaset", first, "deployment.kubernetes.io/revision=2", "--overwrite")
    with pytest.raises(InputError, match="contradicts itself"):
        planned(shop)


MOVES = {
    "a newer release": lambda shop: shop.apply("3"),
    "a rollout undo by a person": lambda shop: shop.kubectl("rollout", "undo", "deployment/shop"),
    "a pause": lambda shop: shop.kubectl("rollout", "pause", "deployment/shop"),
    "another object of that name": lambda shop: (
        shop.kubectl("delete", "deployment", "shop"),
        shop.release("1"),
        shop.release_bad(),
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    shop.release("1")
    shop.release_bad()
    change = planned(shop)
    MOVES[case](shop)
    template = shop.document["spec"]["template"]
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        act(shop, change)
    assert shop.document["spec"]["template"] == template


def test_a_status_that_moves_voids_nothing(shop: Shop) -> None:
    """The resourceVersion changes with each restart of a crashing pod; the workload is still as planned."""
    shop.release("1")
    shop.release_bad("crash-2")
    change = planned(shop)
    shop.kubectl("annotate", "deployment", "shop", "seen=yes")
    act(shop, change)
    assert shop.tag == "1"


def test_a_rollout_that_does_not_fail_is_somebody_elses_work(shop: Shop) -> None:
    shop.release("1")
    shop.apply("slow-2")
    wait_until(lambda: shop.states("slow-2"), "the rollout begins")
    assert "is rolling out" in str(planned(shop).wait)


def test_change_cause_names_incident_and_plan(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    act(shop, planned(shop))
    assert "INC-1234: rollback to revision 1 by Responder, plan a1b2c3d4e5f6" in shop.kubectl(
        "rollout", "history", "deployment/shop"
    )
    assert shop.document["metadata"]["annotations"]["responder.sre/plan"] == "a1b2c3d4e5f6a7b8"


def test_the_next_apply_changes_what_its_manifest_says_and_nothing_else(shop: Shop) -> None:
    """A variable that only the restored template has must not survive the next apply of a manifest without it."""
    shop.release("1", env={"OLD": "1", "BOTH": "1"})
    shop.release("2", env={"BOTH": "2"})
    newer = shop.document["spec"]["template"]
    act(shop, planned(shop))
    assert [entry["name"] for entry in shop.document["spec"]["template"]["spec"]["containers"][0]["env"]] == [
        "OLD",
        "BOTH",
    ]
    shop.apply("2", env={"BOTH": "2"})
    assert shop.document["spec"]["template"] == newer


def test_a_configmap_that_changed_since_and_a_secret_that_is_gone_are_told_in_the_plan(shop: Shop) -> None:
    text = yaml.safe_load(shop.manifest("1"))
    shop.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    shop.kubectl("create", "secret", "generic", "key", "--from-literal=a=1")
    text["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "key"}},
    ]
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(text))
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=30s")
    count = itertools.count()
    shop.release("2")
    shop.kubectl("delete", "secret", "key")
    wait_until(
        lambda: (
            shop.kubectl("patch", "configmap", "settings", "-p", f'{{"data": {{"a": "{next(count)}"}}}}')
            and any("ConfigMap settings was changed" in warning for warning in planned_warnings(shop))
        ),
        "the change is a second later than the revision",
    )
    assert "Secret key, which revision 1 needs, does not exist" in planned_warnings(shop)


def planned_warnings(shop: Shop) -> list[str]:
    """What the plan of a return to the first revision warns of."""
    return list(planned(shop, "1").evidence["warnings"])


def test_values_of_the_environment_never_stand_in_plan_or_undo(shop: Shop) -> None:
    shop.release("1", env={"PASSWORD": "hunter2-old"})
    shop.release("2", env={"PASSWORD": "hunter2-new"})
    change = planned(shop)
    assert "hunter2" not in str(vars(change))
    assert change.diff["before"] != change.diff["after"]


def test_a_workload_is_found_by_the_services_labels_and_two_are_asked_about(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    arguments = {name: value for name, value in shop.arguments.items() if name != "name"}
    by_id = ROLLBACK.plan({**arguments, "kubernetes_id": "shop", "to": "previous"})
    assert by_id.target == planned(shop).target
    other = yaml.safe_load(shop.manifest("1"))
    other["metadata"]["name"] = "shop-canary"
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(other))
    with pytest.raises(InputError, match=r"2 Deployments .* match .*: shop, shop-canary"):
        ROLLBACK.plan({**arguments, "kubernetes_id": "shop", "to": "previous"})
    with pytest.raises(InputError, match="an empty value never means"):
        ROLLBACK.plan({**arguments, "to": "previous"})


def test_an_account_without_the_right_is_told_the_verb_and_the_resource(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    shop.kubectl("create", "serviceaccount", "reader")
    read = "deployments.apps,replicasets.apps,pods,services,endpointslices.discovery.k8s.io,networkpolicies.networking.k8s.io"
    shop.kubectl("create", "role", "reader", "--verb=get,list", f"--resource={read}")
    shop.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={shop.namespace}:reader")
    reader = Shop(shop.cluster.as_account("reader", shop.namespace), shop.namespace)
    with pytest.raises(
        EffectFailed, match=r"cannot patch Deployment shop .*forbidden.*Grant this account the verb patch"
    ):
        planned(reader)


def test_a_token_that_is_no_longer_accepted_is_told_as_that(shop: Shop) -> None:
    shop.release("1")
    config = yaml.safe_load(shop.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "expired"}
    file = shop.cluster.folder / f"{shop.namespace}-expired.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(EffectFailed, match="does not accept these credentials"):
        ROLLBACK.plan({**shop.arguments, "kubeconfig": str(file), "to": "previous"})


def test_a_rollback_that_does_not_come_up_in_time_is_done_and_says_so(shop: Shop) -> None:
    shop.release("1")
    shop.release("2")
    shop.kubectl("set", "image", "deployment/shop", "shop=registry.test:5000/shop:bad-pull-0")
    wait_until(lambda: shop.states("bad-pull-0"), "the bad one begins")
    shop.kubectl("set", "image", "deployment/shop", "shop=registry.test:5000/shop:3")
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=30s")
    change = planned(shop, "3")
    observed = ROLLBACK.act({**shop.arguments, "to": "3", "timeout_s": 1}, change)
    assert "available after 1 s" in observed["not_rolled_out"]
    assert shop.tag == "bad-pull-0"
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "done"


ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


def on_delete(shop: Shop, kind: str) -> Shop:
    """A release that one pod has got so far, for its controller replaces none by itself."""
    shop = Shop(shop.cluster, shop.namespace, kind)
    shop.apply("1", **ON_DELETE)
    wait_until(lambda: shop.ready() == ["1"] * wanted(shop), "it serves")
    shop.apply("2", **ON_DELETE)
    shop.kubectl("delete", "pod", sorted(shop.pods())[-1])
    wait_until(lambda: sorted(shop.ready()) == ["1"] * (wanted(shop) - 1) + ["2"], "one pod of the release serves")
    return shop


def wanted(shop: Shop) -> int:
    return 3 if shop.kind == "DaemonSet" else 2


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_pods_that_no_controller_replaces_are_replaced_by_the_rollback(shop: Shop, kind: str) -> None:
    shop = on_delete(shop, kind)
    change = planned(shop)
    assert (change.busy, change.wait) == (None, None), "nothing goes on by itself"
    assert len(change.evidence["replaced"]) == 1
    kept = set(shop.pods()) - set(change.evidence["replaced"])
    uids = {pod["metadata"]["uid"] for pod in shop.cluster.get("pods", "-n", shop.namespace)["items"] if pod["metadata"]["name"] in kept}  # fmt: skip
    observed = act(shop, change)
    assert (observed["not_rolled_out"], observed["behind"]) == ("", [])
    assert shop.ready() == ["1"] * wanted(shop)
    assert uids < {pod["metadata"]["uid"] for pod in shop.cluster.get("pods", "-n", shop.namespace)["items"]}
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "done"


def test_a_pod_that_still_serves_the_bad_release_is_told_and_not_called_rolled_out(shop: Shop) -> None:
    """The revision that its controller calls current never moves, before as after."""
    shop = on_delete(shop, "StatefulSet")
    change = planned(shop)
    shop.kubectl("patch", "statefulset", "shop", "--type=json", "-p", json.dumps([
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.test:5000/shop:1"},
    ]))  # fmt: skip
    wait_until(lambda: shop.document["status"]["observedGeneration"] == shop.document["metadata"]["generation"], "seen")
    assert sample(Kubernetes(), shop.arguments).ok is False
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "cut_short"
    shop.kubectl("delete", "pod", change.evidence["replaced"][0])
    wait_until(lambda: sample(Kubernetes(), shop.arguments).ok, "all are of one revision")


def test_an_update_by_hand_that_is_complete_is_rolled_out_and_nothing_is_under_way(shop: Shop) -> None:
    shop = on_delete(shop, "StatefulSet")
    shop.kubectl("delete", "pod", "shop-0")
    wait_until(lambda: sample(Kubernetes(), shop.arguments).ok, "every pod is of release 2")
    assert shop.document["status"]["currentRevision"] != shop.document["status"]["updateRevision"]
    assert planned(shop).wait is None


def partitioned(shop: Shop, partition: int) -> dict[str, Any]:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}}


def test_the_pods_above_a_partition_go_back_and_those_below_were_never_of_the_release(shop: Shop) -> None:
    shop = Shop(shop.cluster, shop.namespace, "StatefulSet")
    shop.release("1", replicas=3)
    shop.apply("bad-pull-2", replicas=3, **partitioned(shop, 2))
    wait_until(lambda: any("waiting" in state for state in shop.states("bad-pull-2")), "the canary fails")
    change = planned(shop)
    assert act(shop, change)["not_rolled_out"] == ""
    assert shop.ready() == ["1"] * 3


def test_a_partition_that_would_keep_pods_on_the_bad_release_is_refused_with_the_cure(shop: Shop) -> None:
    shop = Shop(shop.cluster, shop.namespace, "StatefulSet")
    shop.release("1")
    shop.release("2")
    shop.kubectl("patch", "statefulset", "shop", "-p", json.dumps({"spec": partitioned(shop, 1)}))
    with pytest.raises(InputError, match=r"would leave shop-0 on revision 2: its partition 1 .*partition to 0"):
        planned(shop)


def test_a_release_of_which_nothing_serves_is_left_at_once(shop: Shop) -> None:
    shop.release("1", strategy={"type": "Recreate"})
    shop.apply("slow-2", strategy={"type": "Recreate"})
    wait_until(lambda: shop.document["status"].get("updatedReplicas") == 2 and not shop.ready(), "only the new is left")
    change = planned(shop)
    assert (change.busy, change.wait) == (None, None)


def test_a_release_that_may_come_up_is_waited_for_until_its_deadline(shop: Shop) -> None:
    shop.release("1", progressDeadlineSeconds=300)
    shop.apply("slow-2", progressDeadlineSeconds=300)
    wait_until(lambda: shop.states("slow-2"), "it begins")
    wait = planned(shop).wait
    assert wait is not None and wait.until is not None
    left = datetime.fromisoformat(wait.until) - datetime.now(UTC)
    assert 200 < left.total_seconds() <= 300
    assert "counts as failed if there is no progress by" in wait.reason


def test_pods_of_the_old_release_that_crash_do_not_make_the_new_one_a_failure(shop: Shop) -> None:
    """The new one is the fix, and it is coming up."""
    shop.apply("crash-1")
    wait_until(lambda: any("waiting" in state for state in shop.states("crash-1")), "it crashes")
    shop.apply("slow-2", strategy={"rollingUpdate": {"maxUnavailable": 0}})
    wait_until(lambda: shop.states("slow-2"), "the fix begins")
    assert "is rolling out" in str(EFFECTS["kubernetes_restart"].plan(shop.arguments).wait)


def test_a_quota_that_refuses_the_pods_of_a_release_is_named(shop: Shop) -> None:
    shop.release("1")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(quota))
    wait_until(lambda: shop.cluster.get("quota", "few", "-n", shop.namespace)["status"].get("used"), "it counts")
    shop.apply("2", strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
    wait_until(lambda: "exceeded quota" in sample(Kubernetes(), shop.arguments).reason, "it")
    assert planned(shop).wait is None, "it fails"


def test_a_daemon_that_no_quota_lets_in_says_so_too(shop: Shop) -> None:
    shop = Shop(shop.cluster, shop.namespace, "DaemonSet")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(quota))
    wait_until(lambda: shop.cluster.get("quota", "few", "-n", shop.namespace)["status"].get("used"), "it counts")
    shop.apply("1")
    wait_until(lambda: "exceeded quota" in sample(Kubernetes(), shop.arguments).reason, "it")
