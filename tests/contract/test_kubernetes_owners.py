"""Who else acts on a workload is recognised on a real control plane, with the custom resources of GitOps and canaries."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support.control_plane import Cluster
from support.kubernetes_shop import Shop, holder

from sre_responder.effects.kubernetes import gitops, owners
from sre_responder.effects.kubernetes.api import connect
from sre_responder.effects.kubernetes.workload import find
from sre_responder.errors import EffectFailed

pytestmark = pytest.mark.contract

TRACKED = ("annotate", "argocd.argoproj.io/tracking-id=web:apps/Deployment:shop/shop")
INSTANCE = ("label", "argocd.argoproj.io/instance=web")


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    shop = Shop(own_cluster, namespace)
    shop.apply("1")
    return shop


def mark(shop: Shop, verb: str, words: str) -> None:
    shop.kubectl(verb, "deployment", "shop", words)


def at_work(shop: Shop) -> str | None:
    api = connect(shop.arguments)
    return owners.at_work(api, find(api, shop.arguments))


def test_nobody_is_at_work_where_nobody_left_a_mark(shop: Shop) -> None:
    assert at_work(shop) is None


@pytest.mark.parametrize("how", [TRACKED, INSTANCE], ids=["tracking-id", "label"])
def test_an_application_of_argo_cd_that_cannot_be_found_counts_as_at_work(shop: Shop, how: tuple[str, str]) -> None:
    mark(shop, *how)
    assert "Argo CD keeps Deployment shop" in str(at_work(shop))
    assert "application web" in str(at_work(shop))


@pytest.mark.parametrize(
    ("policy", "busy"), [({"automated": {"selfHeal": True}}, True), ({"automated": {}}, False), ({}, False)]
)
def test_an_application_of_argo_cd_is_at_work_where_it_heals_itself(
    shop: Shop, custom: None, policy: dict[str, Any], busy: bool
) -> None:
    """Its name is of this test alone: applications are looked for in all namespaces."""
    mark(shop, "label", f"argocd.argoproj.io/instance={shop.namespace}")
    holder(shop, "Application", shop.namespace, {"syncPolicy": policy})
    assert (at_work(shop) is not None) == busy
    api = connect(shop.arguments)
    assert "out of sync until Git says the same" in str(owners.warnings(api, find(api, shop.arguments)))


@pytest.mark.parametrize("kind", ["Kustomization", "HelmRelease"])
def test_flux_is_at_work_until_it_is_suspended(shop: Shop, custom: None, kind: str) -> None:
    mark(shop, "label", f"{gitops.FLUX[kind]}/name=apps")
    assert f"Flux keeps Deployment shop in namespace {shop.namespace} as Git says ({kind} apps)" in str(at_work(shop))
    holder(shop, kind, "apps", {"suspend": False})
    assert at_work(shop) is not None
    holder(shop, kind, "apps", {"suspend": True})
    assert at_work(shop) is None


def test_flux_that_was_told_to_leave_this_object_alone_is_not_at_work(shop: Shop) -> None:
    mark(shop, "label", "kustomize.toolkit.fluxcd.io/name=apps")
    mark(shop, "annotate", "kustomize.toolkit.fluxcd.io/reconcile=disabled")
    assert at_work(shop) is None


@pytest.mark.parametrize(("phase", "busy"), [("Progressing", True), ("", True), ("Succeeded", False)])
def test_a_canary_of_flagger_is_at_work_while_it_goes_on(shop: Shop, custom: None, phase: str, busy: bool) -> None:
    spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}}
    holder(shop, "Canary", "shop", spec, {"phase": phase})
    assert (at_work(shop) is not None) == busy


def test_the_template_of_an_argo_rollout_is_changed_there(shop: Shop, custom: None) -> None:
    holder(shop, "Rollout", "shop", {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}})
    assert "is the template of Rollout shop" in str(at_work(shop))


def test_what_an_operator_owns_is_changed_there(shop: Shop) -> None:
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "operator",
        "controller": True,
        "blockOwnerDeletion": False,
    }
    shop.kubectl("create", "configmap", "operator")
    owner["uid"] = shop.cluster.get("configmap", "operator", "-n", shop.namespace)["metadata"]["uid"]
    shop.kubectl("patch", "deployment", "shop", "-p", yaml.safe_dump({"metadata": {"ownerReferences": [owner]}}))
    assert "belongs to ConfigMap operator: change that" in str(at_work(shop))


def test_a_kind_that_may_not_be_read_is_not_taken_for_absent(shop: Shop, custom: None) -> None:
    shop.kubectl("create", "serviceaccount", "reader")
    shop.kubectl(
        "create", "role", "reader", "--verb=get,list", "--resource=deployments.apps,leases.coordination.k8s.io"
    )
    shop.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={shop.namespace}:reader")
    reader = Shop(shop.cluster.as_account("reader", shop.namespace), shop.namespace)
    with pytest.raises(EffectFailed, match="cannot list Canaries"):
        at_work(reader)


def helm(shop: Shop, *statuses: str) -> None:
    """The shop is of a Helm release, whose history has these revisions, as Helm labels them."""
    shop.kubectl(
        "annotate",
        "deployment",
        "shop",
        "meta.helm.sh/release-name=web",
        f"meta.helm.sh/release-namespace={shop.namespace}",
    )
    for number, status in enumerate(statuses, 1):
        labels = {"name": "web", "owner": "helm", "status": status, "version": str(number)}
        secret = {
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "stringData": {"release": "hidden"},
            "metadata": {"name": f"sh.helm.release.v1.web.v{number}", "labels": labels},
        }  # fmt: skip
        shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(secret))


def told(shop: Shop) -> str:
    api = connect(shop.arguments)
    return "; ".join(owners.warnings(api, find(api, shop.arguments)))


HELM = {
    "at rest": (("superseded",) * 9 + ("deployed",), None, "revision 10, deployed"),
    "in the middle of an upgrade": (
        ("deployed", "pending-upgrade"),
        "revision 2 is pending-upgrade",
        "revision 2, pending-upgrade",
    ),
    "in the middle of its end": (("uninstalling",), "revision 1 is uninstalling", "revision 1, uninstalling"),
    "after a failure": (("deployed", "failed"), None, "revision 2, failed"),
    "without a history": ((), None, "no history is there"),
}


@pytest.mark.parametrize("case", HELM)
def test_a_release_of_helm_is_told_and_one_under_way_is_respected(shop: Shop, case: str) -> None:
    statuses, busy, words = HELM[case]
    helm(shop, *statuses)
    assert (busy or "None") in str(at_work(shop))
    assert f"Helm release web ({words}) does not know of this change" in told(shop)


def test_a_history_that_may_not_be_looked_at_is_told_as_that(shop: Shop) -> None:
    helm(shop, "pending-upgrade")
    reader = shop.as_account(
        "reader",
        "--verb=get,list --resource=deployments.apps,leases.coordination.k8s.io,canaries.flagger.app,rollouts.argoproj.io",
    )
    assert at_work(reader) is None
    assert "its history may not be looked at" in told(reader)
