"""Restoring one object against a real control plane: how it was while its service was healthy, and nothing that moved in between."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes import culprits
from sre_responder.effects.kubernetes.known_good import STALE_SECONDS, capture, changes
from sre_responder.errors import InputError, NotApplicable, StateMoved
from sre_responder.model.known_good import KnownGood

pytestmark = pytest.mark.contract

SECOND = 1.1
"""The API keeps times by the second."""
PLAN = "a1b2c3d4" * 8
LABELS = {"app": "shop"}
RESTORE = EFFECTS["kubernetes_restore"]


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    """A release that listens on a port and reads settings and a login, with everything around it, serving."""
    shop = Shop(own_cluster, namespace)
    put(shop, "v1", "ConfigMap", "settings", data={"mode": "s3cret-good"})
    put(shop, "v1", "Secret", "login", stringData={"password": "s3cret-login"})
    put(shop, "v1", "Service", "shop", spec={"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]})
    put(shop, "networking.k8s.io/v1", "NetworkPolicy", "shop", spec=policy([{"ports": [{"port": 8080}]}]))
    put(shop, "v1", "ResourceQuota", "pods", spec={"hard": {"pods": "20"}})
    document = yaml.safe_load(shop.manifest("1"))
    container = document["spec"]["template"]["spec"]["containers"][0]
    given = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}]
    container |= {"ports": [{"containerPort": 8080, "name": "web"}], "envFrom": given}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
    shop.kubectl("rollout", "status", "Deployment/shop", "--timeout=60s")
    wait_until(lambda: ready(shop) == 2, "its Service has endpoints")
    time.sleep(SECOND)
    return shop


def policy(ingress: list[Any], selector: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "podSelector": {"matchLabels": LABELS} if selector is None else selector,
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }


def ready(shop: Shop) -> int:
    slices = shop.cluster.get("endpointslices", "-n", shop.namespace)["items"]
    return sum((one.get("conditions") or {}).get("ready") is True for s in slices for one in s.get("endpoints") or ())


def put(shop: Shop, api: str, kind: str, name: str, **fields: Any) -> None:
    document = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **fields}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))


def patch(shop: Shop, kind: str, name: str, **fields: Any) -> None:
    shop.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(fields))


def healthy(shop: Shop) -> KnownGood:
    """What Responder captures now."""
    found = capture(shop.arguments)
    return KnownGood.of(found.document, time.time())


def planned(shop: Shop, known: KnownGood | None = None, **more: Any) -> Change:
    return RESTORE.plan({**shop.arguments, "_known_good": lambda: known, **more})


def restored(shop: Shop, known: KnownGood | None = None, **more: Any) -> Change:
    words = {**shop.arguments, "_known_good": lambda: known, **more}
    change = RESTORE.plan(words)
    assert RESTORE.act({**words, "_plan": PLAN, "_incident": "INC-1234"}, change) == change.after
    assert RESTORE.read({**shop.arguments, "_target": change.target}) == change.after
    assert "responder-" not in shop.kubectl("get", "leases", "-o", "name"), "nothing is held"
    return change


def spec(shop: Shop, kind: str, name: str) -> dict[str, Any]:
    document = shop.cluster.get(kind, name, "-n", shop.namespace)
    return dict(document.get("spec") or document.get("data") or {})


def full(shop: Shop) -> None:
    """The quota refuses pods that are needed."""
    patch(shop, "resourcequota", "pods", spec={"hard": {"pods": "1", "secrets": "1"}})
    without_pods(shop)


def without_pods(shop: Shop) -> None:
    where = ("resourcequota", "-n", shop.namespace)
    wait_until(lambda: all(q.get("status", {}).get("hard") == q["spec"].get("hard") for q in shop.cluster.get(*where)["items"]), "the quotas count")  # fmt: skip
    shop.kubectl("delete", "pods", "--all")
    wait_until(lambda: "exceeded quota" in json.dumps(shop.document["status"]), "its pods are refused")


FAULTS: dict[str, tuple[Callable[[Shop], object], str, str, str]] = {
    "a selector and a port": (
        lambda shop: patch(shop, "service", "shop", spec={"selector": {"app": "other", "tier": "x"}, "ports": [{"port": 80, "targetPort": 9}]}),
        "Service", "shop", "does not select its pods",
    ),
    "a port": (
        lambda shop: patch(shop, "service", "shop", spec={"ports": [{"port": 80, "targetPort": 9999}]}),
        "Service", "shop", "leads to port 9999, where its pods do not listen",
    ),
    "whom a policy lets in": (
        lambda shop: patch(shop, "networkpolicy", "shop", spec={"ingress": None}),
        "NetworkPolicy", "shop", "lets no request in",
    ),
    "which port a policy opens": (
        lambda shop: patch(shop, "networkpolicy", "shop", spec={"ingress": [{"ports": [{"port": 1}]}]}),
        "NetworkPolicy", "shop", "lets no request in",
    ),
    "a quota": (full, "ResourceQuota", "pods", "exceeded quota: pods"),
    "settings": (
        lambda shop: patch(shop, "configmap", "settings", data={"mode": "w0rse", "more": "x"}),
        "ConfigMap", "settings", "was changed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", ["captured while healthy at", "kubectl.kubernetes.io/last-applied-configuration"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_somebody_changed_is_as_it_was_and_its_pods_serve(shop: Shop, fault: str, source: str) -> None:
    do, kind, name, why = FAULTS[fault]
    before, known = spec(shop, kind, name), healthy(shop) if source.startswith("captured") else None
    do(shop)
    change = restored(shop, known)
    assert spec(shop, kind, name) == before
    assert change.evidence["object"] == f"{kind}/{name}" and why in change.evidence["why"]
    assert change.evidence["known_good"].startswith(source)
    assert fault == "whom a policy lets in" or change.evidence["last_written"].startswith("by kubectl-patch at 20")
    assert change.diff["before"] != change.diff["after"]
    assert not any(word in str(change) for word in ("s3cret", "w0rse")), "values of a ConfigMap appear nowhere"
    wait_until(lambda: ready(shop) == 2, "its pods serve")


@pytest.mark.parametrize("address", ["headless", "its own"])
def test_a_service_that_was_deleted_is_created_again_and_its_undo_deletes_it(shop: Shop, address: str) -> None:
    if address == "headless":
        shop.kubectl("delete", "service", "shop")
        ports = [{"port": 80, "targetPort": 8080}]
        put(shop, "v1", "Service", "shop", spec={"selector": LABELS, "clusterIP": "None", "ports": ports})
    before, known = spec(shop, "service", "shop"), healthy(shop)
    shop.kubectl("delete", "service", "shop")
    change = restored(shop, known)
    allocated = () if address == "headless" else ("clusterIP", "clusterIPs")
    assert {k: v for k, v in spec(shop, "service", "shop").items() if k not in allocated} == {
        k: v for k, v in before.items() if k not in allocated
    }
    wait_until(lambda: ready(shop) == 2, "it has endpoints")
    by_hand(shop, change)
    assert "shop" not in shop.kubectl("get", "services", "-o", "name")
    assert RESTORE.became(change, RESTORE.read({**shop.arguments, "_target": change.target})) == "not_done"


def test_settings_that_were_deleted_are_created_again(shop: Shop) -> None:
    known = healthy(shop)
    shop.kubectl("delete", "configmap", "settings")
    change = restored(shop, known)
    assert spec(shop, "configmap", "settings") == {"mode": "s3cret-good"} and "s3cret" not in str(change)


def test_a_policy_that_was_deleted_is_created_again_where_another_lets_nobody_in(shop: Shop) -> None:
    put(shop, "networking.k8s.io/v1", "NetworkPolicy", "closed", spec=policy([], {}))
    before, known = spec(shop, "networkpolicy", "shop"), healthy(shop)
    shop.kubectl("delete", "networkpolicy", "shop")
    restored(shop, known)
    assert spec(shop, "networkpolicy", "shop") == before


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_workload_that_was_scaled_to_zero_has_its_pods_again(shop: Shop, kind: str) -> None:
    one = replace(shop, kind=kind, name=f"front-{kind.lower()}")
    one.release("1")
    known = healthy(one)
    template = one.document["spec"]["template"]
    one.kubectl("scale", f"{kind}/{one.name}", "--replicas=0")
    wait_until(lambda: not one.document["status"].get("availableReplicas"), "no pod serves")
    change = restored(one, known)
    wait_until(lambda: one.document["status"].get("availableReplicas") == 2, "its pods serve")
    assert one.document["spec"]["template"] == template, "nothing but the number is restored"
    by_hand(one, change)
    assert one.document["spec"]["replicas"] == 0


def test_an_autoscaler_that_holds_it_low_has_its_bounds_again(shop: Shop) -> None:
    shop.kubectl("autoscale", "deployment", "shop", "--min=2", "--max=5")
    known = healthy(shop)
    patch(shop, "horizontalpodautoscaler", "shop", spec={"minReplicas": 1, "maxReplicas": 1})
    shop.kubectl("scale", "deployment/shop", "--replicas=1")
    assert restored(shop, known).evidence["why"] == "holds it at 1 pods, and allowed 5"
    assert spec(shop, "horizontalpodautoscaler", "shop")["maxReplicas"] == 5


def test_a_node_that_was_cordoned_takes_pods_again(shop: Shop) -> None:
    known = healthy(shop)
    nodes = [one["metadata"]["name"] for one in shop.cluster.get("nodes")["items"]]
    shop.cluster.kubectl("cordon", *nodes)
    try:
        shop.kubectl("delete", "pods", "--all")
        wait_until(lambda: "were unschedulable" in shop.kubectl("get", "pods", "-o", "json"), "no node takes its pods")
        change = restored(shop, known)
        assert change.target.startswith("kubernetes:node/") and "last_written" in change.evidence
        wait_until(lambda: len(shop.ready()) == 2, "its pods serve")
    finally:
        shop.cluster.kubectl("uncordon", *nodes)


def test_a_policy_that_is_new_no_longer_selects_its_pods_and_stays_for_all_others(shop: Shop) -> None:
    Shop(shop.cluster, shop.namespace, name="other").release("1")
    shop.kubectl("delete", "networkpolicy", "shop")
    known = healthy(shop)
    put(shop, "networking.k8s.io/v1", "NetworkPolicy", "closed", spec=policy([], {}))
    change = restored(shop, known)
    expression = {"key": "app", "operator": "NotIn", "values": ["shop"]}
    assert spec(shop, "networkpolicy", "closed")["podSelector"] == {"matchExpressions": [expression]}
    assert "when it did not exist" in change.evidence["known_good"]
    by_hand(shop, change)
    assert spec(shop, "networkpolicy", "closed")["podSelector"] == {}


def test_a_quota_that_is_new_limits_nothing_and_its_undo_limits_again(shop: Shop) -> None:
    known = healthy(shop)
    put(shop, "v1", "ResourceQuota", "few", spec={"hard": {"pods": "1"}})
    without_pods(shop)
    change = restored(shop, known)
    assert not spec(shop, "resourcequota", "few").get("hard")
    wait_until(lambda: len(shop.ready()) == 2, "its controller tries again at once")
    by_hand(shop, change)
    assert spec(shop, "resourcequota", "few") == {"hard": {"pods": "1"}}


def test_a_policy_that_may_not_be_new_is_left_alone(shop: Shop) -> None:
    """Nothing was captured, or what was captured could not look at policies, or is too old."""
    shop.kubectl("delete", "networkpolicy", "shop")
    known = healthy(shop)
    put(shop, "networking.k8s.io/v1", "NetworkPolicy", "closed", spec=policy([], {}))
    blind = replace(known, looked=known.looked - {"NetworkPolicy"})
    for what in (None, blind, replace(known, at=time.time() - STALE_SECONDS - 60)):
        with pytest.raises(NotApplicable, match="Found: NetworkPolicy closed lets no request in"):
            planned(shop, what)


def helm(shop: Shop) -> None:
    """The Service is of a Helm release, and was never applied."""
    good = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}}
    ports = [{"port": 80, "targetPort": 8080}]
    manifest = yaml.safe_dump_all([{"kind": "Secret", "metadata": {"name": "shop"}}, {**good, "spec": {"selector": LABELS, "ports": ports}}])  # fmt: skip
    packed = base64.b64encode(gzip.compress(json.dumps({"manifest": manifest}).encode())).decode()
    for version, status, data in ((1, "superseded", "bad"), (2, "deployed", packed), (3, "failed", "bad")):
        labels = {"owner": "helm", "name": "shop", "status": status, "version": str(version)}
        metadata = {"name": f"sh.helm.release.v1.shop.v{version}", "labels": labels}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"release": data}}
        shop.kubectl("create", "-f", "-", input=yaml.safe_dump(secret))
    release = ("meta.helm.sh/release-name=shop", f"meta.helm.sh/release-namespace={shop.namespace}")
    shop.kubectl("annotate", "service", "shop", "kubectl.kubernetes.io/last-applied-configuration-", *release)


def test_where_nobody_applied_it_the_deployed_helm_release_says_how_it_was(shop: Shop) -> None:
    before = spec(shop, "service", "shop")
    helm(shop)
    patch(shop, "service", "shop", spec={"selector": {"app": "other"}})
    assert restored(shop).evidence["known_good"] == "Helm release"
    assert spec(shop, "service", "shop") == before


def test_where_nothing_says_how_it_was_it_is_refused_and_the_cause_is_named(shop: Shop) -> None:
    shop.kubectl("annotate", "service", "shop", "kubectl.kubernetes.io/last-applied-configuration-")
    patch(shop, "service", "shop", spec={"selector": {"app": "other"}})
    with pytest.raises(InputError, match=r"nothing says how Service shop in namespace .* was when it was good"):
        planned(shop, object="Service/shop")
    with pytest.raises(NotApplicable, match="Found: Service shop selects app=other"):
        planned(shop)


def test_what_is_as_it_was_is_left_alone(shop: Shop) -> None:
    known = healthy(shop)
    with pytest.raises(NotApplicable, match="is as it was when it was good"):
        planned(shop, known, object="Service/shop")
    with pytest.raises(NotApplicable, match="nothing that belongs to Deployment shop"):
        planned(shop, known)


def test_a_change_that_is_not_why_it_fails_is_left_alone(shop: Shop) -> None:
    """The image of the newest release is bad; who turned on affinity is not to blame."""
    known = healthy(shop)
    shop.release_bad()
    patch(shop, "service", "shop", spec={"sessionAffinity": "ClientIP"})
    patch(shop, "configmap", "settings", data={"mode": "w0rse"})
    for words in ({}, {"object": "Service/shop"}, {"object": "ConfigMap/settings"}):
        with pytest.raises(NotApplicable):
            planned(shop, known, **words)


def test_what_was_released_together_with_the_template_is_left_to_a_rollback(shop: Shop) -> None:
    known = healthy(shop)
    put(shop, "v1", "ConfigMap", "settings", data={"mode": "of the next release"})
    time.sleep(SECOND)
    shop.kubectl("set", "image", "deployment/shop", "shop=registry.test:5000/shop:2")
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    with pytest.raises(NotApplicable):
        planned(shop, known)


def test_what_was_released_with_a_template_is_restored_once_a_rollback_has_left_that(shop: Shop) -> None:
    known = healthy(shop)
    put(shop, "v1", "ConfigMap", "settings", data={"mode": "of the next release"})
    shop.kubectl("set", "image", "deployment/shop", "shop=registry.test:5000/shop:2")
    shop.kubectl("rollout", "undo", "deployment/shop")
    shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    time.sleep(SECOND)
    wait_until(lambda: len(shop.ready()) == 2, "all serve")
    assert restored(shop, known).evidence["object"] == "ConfigMap/settings"


def test_a_change_that_is_older_than_an_hour_is_what_the_team_wanted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(healthy(shop), at=time.time() - 2 * 3600)
    patch(shop, "configmap", "settings", data={"mode": "other"})
    monkeypatch.setattr(culprits, "RECENT_SECONDS", -3600)
    with pytest.raises(NotApplicable):
        planned(shop, known)


CONTAINED = {
    "scaled to zero": {"how": "scale_to_zero"},
    "cut off by a policy": {"how": "network_policy"},
}


@pytest.mark.parametrize("how", CONTAINED)
def test_what_responder_has_contained_stays_contained(shop: Shop, how: str) -> None:
    shop.kubectl("delete", "networkpolicy", "shop")  # which would let in what another policy takes
    known, isolate = healthy(shop), EFFECTS["kubernetes_isolate"]
    words = {**shop.arguments, **CONTAINED[how], "_plan": PLAN, "_incident": "INC-1234"}
    isolate.act(words, isolate.plan(words))
    with pytest.raises(NotApplicable):
        planned(shop, known)


@pytest.mark.parametrize("object", ["Secret/login", "Pod/shop", "Service", "/", "Service/../x"])
def test_an_object_that_is_not_restored_is_bad_input(shop: Shop, object: str) -> None:
    with pytest.raises(InputError):
        planned(shop, object=object)


def test_an_object_that_moved_since_the_plan_stays_as_it_is(shop: Shop) -> None:
    known = healthy(shop)
    patch(shop, "service", "shop", spec={"selector": {"app": "other"}})
    change = planned(shop, known)
    patch(shop, "service", "shop", spec={"selector": {"app": "third"}})
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        RESTORE.act({**shop.arguments, "_known_good": lambda: known, "_plan": PLAN}, change)
    assert spec(shop, "service", "shop")["selector"]["app"] == "third"
    assert "responder-" not in shop.kubectl("get", "leases", "-o", "name"), "nothing is held"


def test_undo_by_plain_kubectl_sets_the_fields_back(shop: Shop) -> None:
    known = healthy(shop)
    patch(shop, "service", "shop", spec={"selector": {"app": "other", "tier": "x"}})
    before = spec(shop, "service", "shop")
    by_hand(shop, restored(shop, known))
    assert spec(shop, "service", "shop") == before


def test_an_object_that_git_keeps_is_busy(shop: Shop) -> None:
    known = healthy(shop)
    patch(shop, "service", "shop", spec={"selector": {"app": "other"}})
    shop.kubectl("annotate", "service", "shop", "argocd.argoproj.io/tracking-id=shop:/Service:shop/shop")
    assert "Argo CD keeps Service shop" in str(planned(shop, known).busy)


def test_of_a_secret_only_its_version_is_captured_and_that_it_changed_is_told(shop: Shop) -> None:
    known = healthy(shop)
    assert known.objects["Secret/login"].keys() == {"metadata"}
    assert "s3cret-login" not in known.document and base64.b64encode(b"s3cret-login").decode() not in known.document
    assert changes(shop.arguments, known) == []
    patch(shop, "secret", "login", stringData={"password": "bad"})
    patch(shop, "service", "shop", spec={"selector": {"app": "other"}})
    shop.kubectl("delete", "networkpolicy", "shop")
    told = changes(shop.arguments, known)
    assert [one.split(" was ")[0] for one in told] == ["NetworkPolicy shop", "Secret login", "Service shop"]
    assert "was deleted" in told[0] and "by kubectl-patch at" in told[1]


def test_an_account_that_may_not_read_a_kind_captures_the_others(shop: Shop) -> None:
    rights = ("--verb=get,list --resource=deployments", "--verb=get,list --resource=services")
    seen = capture(shop.as_account("narrow", *rights).arguments)
    assert {*seen.objects} == {"Deployment/shop", "Service/shop"}
    assert "NetworkPolicy" not in seen.looked and "Service" in seen.looked


def by_hand(shop: Shop, change: Change) -> None:
    """Undo a change as an operator would."""
    [task] = change.undo
    _, *words = task["ansible.builtin.command"]["argv"]
    subprocess.run([shop.cluster.kubectl_program, *words], check=True, env=shop.cluster.environment, capture_output=True)  # fmt: skip
