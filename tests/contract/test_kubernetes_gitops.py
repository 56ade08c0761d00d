"""Whether Git and cluster agree, as an application of Argo CD or an object of Flux on a real control plane says."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.control_plane import Cluster
from support.kubernetes_shop import Shop, holder

from sre_responder.effects import EFFECTS
from sre_responder.errors import EffectFailed, InputError

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("custom")]

A_SECOND = 1.1
"""Times of the API are of whole seconds: what is later by less may bear the same."""
NOW = datetime.now(UTC)
SOON, BEFORE = (f"{NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}" for minutes in (60, -60))
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
STALLED = {"conditions": [{"type": "Ready", "status": "False", "message": "the chart is broken"}]}
MARKS = {
    "Application": ("annotate", "argocd.argoproj.io/tracking-id={name}:apps/Deployment:shop/shop"),
    "Kustomization": ("label", "kustomize.toolkit.fluxcd.io/name={name}"),
    "HelmRelease": ("label", "helm.toolkit.fluxcd.io/name={name}"),
}


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    shop = Shop(own_cluster, namespace)
    shop.apply("1")
    return shop


def synced(word: str, looked: str) -> dict[str, Any]:
    """The status of an application; `PLACE` is the shop's namespace."""
    return {
        "reconciledAt": looked,
        "resources": [
            {"kind": "Deployment", "namespace": "PLACE", "name": "other", "status": "OutOfSync"},
            {"kind": "Deployment", "namespace": "PLACE", "name": "shop", "status": word},
        ],
    }


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "Argo CD has looked since, and says synced": ("Application", {}, synced("Synced", SOON), ""),
    "Argo CD says out of sync": ("Application", {}, synced("OutOfSync", SOON), "Argo CD .* says OutOfSync"),
    "Argo CD has not looked since": ("Application", {}, synced("Synced", BEFORE), "has not looked at it since"),
    "Argo CD says nothing of it": ("Application", {}, {"reconciledAt": SOON}, "says nothing of it"),
    "Argo CD has never looked": ("Application", {}, {}, "says nothing of it"),
    "Flux was asked since, and is ready": ("Kustomization", {}, {**READY, "lastHandledReconcileAt": SOON}, ""),
    "Flux has looked by itself since": ("Kustomization", {}, {**READY, "history": [{"lastReconciled": SOON}]}, ""),
    "Flux was asked before": ("Kustomization", {}, {**READY, "lastHandledReconcileAt": BEFORE}, "flux reconcile kust"),
    "Flux was asked by a word that is no time": ("Kustomization", {}, {**READY, "lastHandledReconcileAt": "now"}, "not looked"),
    "Flux was asked by a time of no zone": (
        "Kustomization", {}, {**READY, "lastHandledReconcileAt": SOON.rstrip("Z")}, "has not looked",
    ),
    "Flux is not ready": ("Kustomization", {}, {**STALLED, "lastHandledReconcileAt": SOON}, "says the chart is broken"),
    "Flux is suspended": ("Kustomization", {"suspend": True}, {**READY, "lastHandledReconcileAt": SOON}, "is held off"),
    "Helm has released since": ("HelmRelease", {}, {**READY, "history": [{"lastDeployed": SOON}]}, ""),
    "Helm was asked since, and looks at its chart alone": (
        "HelmRelease", {}, {**READY, "lastHandledReconcileAt": SOON, "history": [{"lastDeployed": BEFORE}]}, "--force",
    ),
    "Helm detects drift, and was asked since": (
        "HelmRelease", {"driftDetection": {"mode": "enabled"}}, {**READY, "lastHandledReconcileAt": SOON}, "",
    ),
    "Helm has released nothing": ("HelmRelease", {}, READY, "has not looked"),
}  # fmt: skip


def told(shop: Shop) -> str:
    return EFFECTS["kubernetes_rollback"].disagreement({**shop.arguments, "to": "previous"}) or ""


def mark(shop: Shop, kind: str) -> None:
    verb, words = MARKS[kind]
    shop.kubectl(verb, "deployment", "shop", words.format(name=shop.namespace))


@pytest.mark.parametrize("case", CASES)
def test_a_keepers_word_counts_once_it_has_looked_since(shop: Shop, case: str) -> None:
    kind, spec, status, words = CASES[case]
    mark(shop, kind)
    resources = [{**one, "namespace": shop.namespace} for one in status.get("resources", ())]
    holder(shop, kind, shop.namespace, spec, {**status, **({"resources": resources} if resources else {})})
    assert bool(told(shop)) == bool(words)
    assert re.search(words, told(shop)), told(shop)


@pytest.mark.parametrize("kind", MARKS)
def test_a_keeper_that_is_not_in_this_cluster_is_asked_where_it_is(shop: Shop, kind: str) -> None:
    mark(shop, kind)
    assert "is not in this cluster: ask there" in told(shop)


def test_a_workload_that_flux_was_told_to_leave_alone_is_held_off(shop: Shop) -> None:
    mark(shop, "Kustomization")
    shop.kubectl("annotate", "deployment", "shop", "kustomize.toolkit.fluxcd.io/reconcile=disabled")
    holder(shop, "Kustomization", shop.namespace, {}, {**READY, "lastHandledReconcileAt": SOON})
    assert "is held off" in told(shop)


def test_what_flux_itself_has_written_since_it_was_asked_counts_as_git(shop: Shop) -> None:
    """It is asked, and then writes: its own hand is later than the question, and no disagreement."""
    mark(shop, "Kustomization")
    time.sleep(A_SECOND)
    asked = {**READY, "lastHandledReconcileAt": datetime.now(UTC).isoformat()}
    time.sleep(A_SECOND)
    shop.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=kustomize-controller",
        "-f",
        "-",
        input=shop.manifest("3"),
    )
    holder(shop, "Kustomization", shop.namespace, {}, asked)
    assert told(shop) == ""
    time.sleep(A_SECOND)
    shop.apply("4")
    assert "has not looked" in told(shop), "a person's hand is one"


def test_nobody_disagrees_on_what_nobody_keeps_or_what_is_gone(shop: Shop) -> None:
    assert told(shop) == ""
    mark(shop, "Application")
    shop.kubectl("delete", "deployment", "shop")
    assert told(shop) == ""


def test_a_cluster_that_is_not_known_is_no_agreement(shop: Shop) -> None:
    with pytest.raises(InputError, match="no cluster is known"):
        EFFECTS["kubernetes_scale"].disagreement({**shop.arguments, "context": "nowhere"})


def test_what_may_not_be_read_is_no_agreement(shop: Shop) -> None:
    mark(shop, "Application")
    with pytest.raises(EffectFailed, match="cannot list Applications"):
        told(shop.as_account("reader", "--verb=get,list --resource=deployments.apps"))
