"""Restoring one object against a real control plane: what its team last applied, and nothing that moved in between."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml
from control_plane import Cluster, wait_until
from kubernetes_shop import Shop

from sre_responder.effects import Change
from sre_responder.effects.kubernetes import restore
from sre_responder.errors import InputError, NotApplicable, StateMoved

pytestmark = pytest.mark.contract


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def named(shop: Shop, kind: str, name: str = "shop") -> dict[str, Any]:
    return {**shop.arguments, "kind": kind, "name": name}


def put(shop: Shop, api: str, kind: str, **fields: Any) -> None:
    document = {"apiVersion": api, "kind": kind, "metadata": {"name": "shop"}, **fields}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))


def patch(shop: Shop, kind: str, **fields: Any) -> None:
    shop.kubectl("patch", kind, "shop", "--type=merge", "-p", json.dumps(fields))


def restored(shop: Shop, kind: str) -> Change:
    change = restore.plan(named(shop, kind))
    words = {"_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}
    assert restore.act({**named(shop, kind), **words}, change) == change.after
    assert restore.read(named(shop, kind)) == change.after
    return change


SELECTOR = {"app": "shop"}
GOOD: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "Service": (
        "v1", {"spec": {"selector": SELECTOR, "ports": [{"port": 80, "targetPort": 8080}]}},
        {"spec": {"selector": {"app": "other", "tier": "x"}, "ports": [{"port": 80, "targetPort": 9999}]}}, "targetPort: 9999",
    ),
    "NetworkPolicy": (
        "networking.k8s.io/v1", {"spec": {"podSelector": {"matchLabels": SELECTOR}, "ingress": [{"ports": [{"port": 8080}]}]}},
        {"spec": {"ingress": [{"ports": [{"port": 1}]}]}}, "port: 1\n",
    ),
    "ResourceQuota": ("v1", {"spec": {"hard": {"pods": "20"}}}, {"spec": {"hard": {"pods": "1", "secrets": "1"}}}, "pods: '1'"),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}, "minReplicas": 2, "maxReplicas": 5}},
        {"spec": {"minReplicas": 1, "maxReplicas": 1}}, "maxReplicas: 1",
    ),
    "ConfigMap": ("v1", {"data": {"mode": "s3cret"}}, {"data": {"mode": "w0rse", "more": "x"}}, "(hidden, "),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_what_somebody_changed_is_as_it_was_applied_again(shop: Shop, kind: str) -> None:
    api, good, bad, told = GOOD[kind]
    put(shop, api, kind, **good)
    applied = shop.cluster.get(kind, "shop", "-n", shop.namespace)
    patch(shop, kind, **bad)
    change = restored(shop, kind)
    now = shop.cluster.get(kind, "shop", "-n", shop.namespace)
    field = "data" if kind == "ConfigMap" else "spec"
    assert now[field] == applied[field]
    assert told in change.diff["before"] and change.evidence["last_written"].startswith("by kubectl-patch at")
    assert not any(word in str(change) for word in ("s3cret", "w0rse"))


def test_a_workload_that_was_scaled_to_zero_has_its_pods_again(shop: Shop) -> None:
    shop.release("1", replicas=2)
    template = shop.document["spec"]["template"]
    shop.kubectl("scale", "deployment/shop", "--replicas=0")
    restored(shop, "Deployment")
    wait_until(lambda: len(shop.ready()) == 2, "its pods serve")
    assert shop.document["spec"]["template"] == template, "nothing but the number is restored"


def test_what_is_as_it_was_applied_needs_no_restoring(shop: Shop) -> None:
    put(shop, "v1", "Service", **GOOD["Service"][1])
    with pytest.raises(NotApplicable, match=r"Service shop .* is as it was last applied"):
        restore.plan(named(shop, "Service"))


def test_what_was_never_applied_is_refused(shop: Shop) -> None:
    shop.kubectl("create", "service", "clusterip", "shop", "--tcp=80")
    with pytest.raises(InputError, match=r"nothing tells how Service shop .* was when it was good"):
        restore.plan(named(shop, "Service"))


@pytest.mark.parametrize("kind", ["Secret", "Node", "Pod", ""])
def test_a_kind_that_is_not_restored_is_refused_with_those_that_are(shop: Shop, kind: str) -> None:
    with pytest.raises(InputError, match=r"is not restored.*Service, NetworkPolicy"):
        restore.plan(named(shop, kind))


def test_an_object_that_moved_since_the_plan_stays_as_it_is(shop: Shop) -> None:
    put(shop, "v1", "Service", **GOOD["Service"][1])
    patch(shop, "Service", **GOOD["Service"][2])
    change = restore.plan(named(shop, "Service"))
    patch(shop, "Service", spec={"selector": {"app": "third"}})
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        restore.act(named(shop, "Service"), change)
    assert shop.cluster.get("service", "shop", "-n", shop.namespace)["spec"]["selector"]["app"] == "third"
    assert "responder-" not in shop.kubectl("get", "leases", "-o", "name"), "nothing is held"


def test_undo_by_plain_kubectl_sets_the_fields_back(shop: Shop) -> None:
    put(shop, "v1", "Service", **GOOD["Service"][1])
    patch(shop, "Service", **GOOD["Service"][2])
    before = shop.cluster.get("service", "shop", "-n", shop.namespace)["spec"]
    [task] = restored(shop, "Service").undo
    _, *words = task["ansible.builtin.command"]["argv"]
    subprocess.run(
        [shop.cluster.kubectl_program, *words], check=True, env=shop.cluster.environment, capture_output=True
    )
    assert shop.cluster.get("service", "shop", "-n", shop.namespace)["spec"] == before


def test_an_object_that_git_keeps_is_busy(shop: Shop) -> None:
    put(shop, "v1", "Service", **GOOD["Service"][1])
    patch(shop, "Service", **GOOD["Service"][2])
    shop.kubectl("annotate", "service", "shop", "argocd.argoproj.io/tracking-id=shop:/Service:shop/shop")
    assert "Argo CD keeps Service shop" in str(restore.plan(named(shop, "Service")).busy)
