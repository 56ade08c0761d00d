"""kubernetes_hold against a real control plane: GitOps leaves one workload alone until it is undone, and is told so nowhere else."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop, holder

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes import owners
from sre_responder.effects.kubernetes.api import connect
from sre_responder.effects.kubernetes.manifests import manifests
from sre_responder.effects.kubernetes.rights import RIGHTS
from sre_responder.effects.kubernetes.workload import find
from sre_responder.errors import EffectFailed, InputError, Refused, ResponderError, StateMoved

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("custom")]

HOLD = EFFECTS["kubernetes_hold"]
PLAN = "a1b2c3d4" * 8


@dataclass(frozen=True)
class Kept:
    """One system that keeps the shop: the mark on the workload, and what it is told by."""

    mark: tuple[str, str]
    kind: str
    spec: dict[str, Any]
    told: str
    """The object that is told to hold."""
    field: tuple[str, ...]
    value: object


KEPT = {
    "Argo CD": Kept(
        ("annotate", "argocd.argoproj.io/tracking-id={name}:apps/Deployment:shop/shop"), "Application",
        {"syncPolicy": {"automated": {"selfHeal": True}}}, "application.argoproj.io",
        ("metadata", "annotations", "argocd.argoproj.io/skip-reconcile"), "true",
    ),
    "Flux, a Kustomization": Kept(
        ("label", "kustomize.toolkit.fluxcd.io/name={name}"), "Kustomization", {}, "deployment",
        ("metadata", "annotations", "kustomize.toolkit.fluxcd.io/reconcile"), "disabled",
    ),
    "Flux, a HelmRelease": Kept(
        ("label", "helm.toolkit.fluxcd.io/name={name}"), "HelmRelease", {}, "helmrelease.helm.toolkit.fluxcd.io",
        ("spec", "suspend"), True,
    ),
}  # fmt: skip


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    shop = Shop(own_cluster, namespace)
    shop.release("1")
    return shop


def keep(shop: Shop, kept: Kept) -> None:
    """The application is called as the namespace is: applications are looked for in all namespaces."""
    verb, mark = kept.mark
    shop.kubectl(verb, "deployment", "shop", mark.format(name=shop.namespace))
    holder(shop, kept.kind, shop.namespace, kept.spec)


@pytest.fixture(params=KEPT)
def kept(request: pytest.FixtureRequest, shop: Shop) -> Kept:
    keep(shop, KEPT[request.param])
    return KEPT[request.param]


def told(shop: Shop, kept: Kept) -> dict[str, Any]:
    name = "shop" if kept.told == "deployment" else shop.namespace
    return dict(json.loads(shop.kubectl("get", kept.told, name, "-o", "json")))


def switched(document: dict[str, Any], kept: Kept) -> object:
    for name in kept.field:
        document = document.get(name) or {}
    return document or None


def planned(shop: Shop, **more: Any) -> Change:
    return HOLD.plan({**shop.arguments, **more})


def act(shop: Shop, change: Change) -> dict[str, Any]:
    return HOLD.act({**shop.arguments, "_plan": PLAN, "_incident": "INC-1234"}, change)


def at_work(shop: Shop) -> str | None:
    api = connect(shop.arguments)
    return owners.at_work(api, find(api, shop.arguments))


def test_who_keeps_the_workload_leaves_it_alone_until_it_is_undone(
    shop: Shop, kept: Kept, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    before = told(shop, kept)
    assert "as Git says" in str(at_work(shop))
    change = planned(shop)
    assert (told(shop, kept), change.busy) == (before, None), "the plan is a dry run"
    assert HOLD.became(change, HOLD.read(shop.arguments)) == "not_done"

    assert act(shop, change) == change.after
    assert switched(told(shop, kept), kept) == kept.value
    assert told(shop, kept)["metadata"]["annotations"]["responder.sre/held"].startswith("INC-1234 until 20")
    assert at_work(shop) is None
    assert HOLD.became(change, HOLD.read(shop.arguments)) == "done"
    assert not planned(shop).changed, "held already: nothing is left to do"

    monkeypatch.setenv("PATH", f"{shop.cluster.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    for _ in range(2):  # by plain kubectl; a second time changes nothing
        undone = undo_by_hand("kubernetes_hold", change)
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert HOLD.read(shop.arguments) == change.before
    after = told(shop, kept)
    after["metadata"]["annotations"].pop("responder.sre/plan")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == (before["metadata"].get("annotations") or {})


def test_the_plan_says_what_else_is_held_and_what_comes_after(shop: Shop, kept: Kept) -> None:
    said = str(planned(shop).evidence["warnings"])
    assert "revert it there before" in said
    assert ("it can only be held off as a whole" in said) == (kept.told != "deployment")


UNKEPT = {
    "nobody left a mark": lambda shop: None,
    "an application that does not heal itself": lambda shop: keep(
        shop, replace(KEPT["Argo CD"], spec={"syncPolicy": {"automated": {}}})
    ),
}


@pytest.mark.parametrize("case", UNKEPT)
def test_where_nobody_would_put_it_back_there_is_nothing_to_hold(shop: Shop, case: str) -> None:
    UNKEPT[case](shop)
    change = planned(shop)
    assert not change.changed and change.before == {"keeper": "nobody", "held": False}


def mark_alone(shop: Shop, name: str) -> None:
    verb, mark = KEPT[name].mark
    shop.kubectl(verb, "deployment", "shop", mark.format(name=f"away-{shop.namespace}"))


def two_applications(shop: Shop) -> None:
    keep(shop, KEPT["Argo CD"])
    other = f"{shop.namespace}-b"
    shop.cluster.kubectl("create", "namespace", other)
    holder(replace(shop, namespace=other), "Application", shop.namespace, KEPT["Argo CD"].spec)


def two_keepers(shop: Shop) -> None:
    for kept in KEPT.values():
        keep(shop, kept)


REFUSED = {
    "an application in another cluster": (lambda shop: mark_alone(shop, "Argo CD"), {}, "is not in this cluster"),
    "a HelmRelease in another cluster": (lambda shop: mark_alone(shop, "Flux, a HelmRelease"), {}, "not in this"),
    "two applications of that name": (two_applications, {}, "or not the only one of that name"),
    "two who keep it": (two_keepers, {}, "both keep Deployment shop"),
    "no time": (lambda shop: keep(shop, KEPT["Argo CD"]), {"minutes": 0}, "minutes is 0"),
    "more than a day": (lambda shop: keep(shop, KEPT["Argo CD"]), {"minutes": 1441}, "minutes is 1441"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_held_is_refused_with_the_words(shop: Shop, case: str) -> None:
    prepare, more, words = REFUSED[case]
    prepare(shop)
    with pytest.raises(InputError, match=words):
        planned(shop, **more)


def test_a_kustomization_of_another_cluster_is_held_on_the_workload_itself(shop: Shop) -> None:
    mark_alone(shop, "Flux, a Kustomization")
    change = planned(shop)
    act(shop, change)
    assert at_work(shop) is None


def test_an_application_outside_argo_cds_namespace_is_found_by_both_its_names(shop: Shop) -> None:
    """Argo CD tracks it as NAMESPACE_NAME; one of that name elsewhere is another."""
    kept = replace(
        KEPT["Argo CD"], mark=(KEPT["Argo CD"].mark[0], f"argocd.argoproj.io/tracking-id={shop.namespace}_{{name}}:x")
    )
    two_applications(shop)
    shop.kubectl("annotate", "deployment", "shop", kept.mark[1].format(name=shop.namespace), "--overwrite")
    act(shop, planned(shop))
    assert switched(told(shop, kept), kept) == "true"


def test_a_sync_under_way_is_waited_for(shop: Shop) -> None:
    keep(shop, KEPT["Argo CD"])
    holder(shop, "Application", shop.namespace, KEPT["Argo CD"].spec, {"operationState": {"phase": "Running"}})
    assert "in the middle of a sync" in str(planned(shop).busy)


MOVES = {
    "the application is gone": lambda shop: shop.kubectl("delete", "application.argoproj.io", shop.namespace),
    "a person holds it": lambda shop: shop.kubectl(
        "annotate", "application.argoproj.io", shop.namespace, "argocd.argoproj.io/skip-reconcile=true"
    ),
    "another application of that name": lambda shop: (
        shop.kubectl("delete", "application.argoproj.io", shop.namespace),
        holder(shop, "Application", shop.namespace, KEPT["Argo CD"].spec),
    ),
    "it heals no more": lambda shop: holder(shop, "Application", shop.namespace, {"syncPolicy": {"automated": {}}}),
    "the workload is gone": lambda shop: shop.kubectl("delete", "deployment", "shop"),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_world_that_moved_since_the_plan_voids_it(shop: Shop, case: str) -> None:
    keep(shop, KEPT["Argo CD"])
    change = planned(shop)
    MOVES[case](shop)
    with pytest.raises(StateMoved):
        act(shop, change)
    assert "responder.sre/held" not in shop.kubectl("get", "application.argoproj.io", "-o", "yaml")


def test_a_status_that_moved_since_the_plan_does_not(shop: Shop) -> None:
    keep(shop, KEPT["Argo CD"])
    change = planned(shop)
    holder(shop, "Application", shop.namespace, KEPT["Argo CD"].spec, {"reconciledAt": "2026-01-01T00:00:00Z"})
    assert act(shop, change)["held"]


def test_a_workload_that_another_responder_holds_is_left_to_it(shop: Shop, kept: Kept) -> None:
    change = planned(shop)
    shop.hold_elsewhere()
    assert "another Responder holds this workload" in str(planned(shop).busy)
    with pytest.raises(Refused, match="another Responder holds this workload: elsewhere"):
        act(shop, change)
    assert switched(told(shop, kept), kept) is None


@pytest.fixture
def account(shop: Shop, namespace: str) -> Iterator[Shop]:
    """The shop as an account sees it that the manifests made, with the role of this action and the reading outside alone."""
    home = f"responder-{namespace}"
    mine = [
        one for one in manifests(home, [namespace])
        if one["kind"] in ("Namespace", "ServiceAccount")
        or one["metadata"]["name"] in (f"{home}-kubernetes-hold", f"{home}-outside", f"{home}-plan")
    ]  # fmt: skip
    text = yaml.safe_dump_all(mine)
    shop.cluster.apply(text)
    yield replace(shop, cluster=shop.cluster.as_account("responder", home))
    shop.cluster.kubectl("delete", "-f", "-", "--wait=false", "--ignore-not-found", input=text)


def failure(shop: Shop) -> str:
    try:
        change = planned(shop)
        act(shop, change)
    except ResponderError as error:
        return str(error)
    return ""


def undone(shop: Shop, kept: Kept) -> None:
    off = {"metadata": {"annotations": {kept.field[-1]: None, "responder.sre/held": None}}, "spec": {"suspend": None}}
    name = "shop" if kept.told == "deployment" else shop.namespace
    off = {part: off[part] for part in {"metadata", kept.field[0]}}
    shop.kubectl("patch", kept.told, name, "--type=merge", "-p", json.dumps(off))


NEEDED = {
    "Argo CD": [("list", "applications"), ("patch", "applications"), ("get", "deployments")],
    "Flux, a Kustomization": [("get", "kustomizations"), ("patch", "deployments"), ("create", "leases")],
    "Flux, a HelmRelease": [("get", "helmreleases"), ("patch", "helmreleases")],
}


@pytest.mark.parametrize("name", KEPT)
def test_its_role_is_enough_and_without_one_right_the_error_names_it(shop: Shop, account: Shop, name: str) -> None:
    keep(shop, KEPT[name])
    wait_until(lambda: not failure(account), "the account has its rights")
    undone(account, KEPT[name])
    assert at_work(shop), "its undo is within its rights too"
    roles = [f"responder-{shop.namespace}-{role}" for role in ("kubernetes-hold", "outside")]
    before = {role: shop.cluster.get("clusterrole", role)["rules"] for role in roles}
    for verb, resource in NEEDED[name]:
        for role, rules in before.items():
            fewer = [
                {**rule, "resources": [one], "verbs": [v for v in rule["verbs"] if (v, one) != (verb, resource)] or ["none"]}
                for rule in rules for one in rule["resources"]
            ]  # fmt: skip
            shop.cluster.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": fewer}))
        wait_until(lambda r=resource, v=verb: f'cannot {v} resource "{r}"' in failure(account), f"no {verb} {resource}")
    for role, rules in before.items():
        shop.cluster.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": rules}))
    wait_until(lambda: not failure(account), "the account has its rights again")


def test_every_right_of_its_role_is_one_that_it_was_refused_without() -> None:
    """`get` beside `patch` is what kubectl needs for the undo; the other workloads are as a Deployment is."""
    refused = {pair for pairs in NEEDED.values() for pair in pairs}
    asked = {(verb, one) for rule in RIGHTS["kubernetes_hold"] for one in rule.resources for verb in rule.verbs}
    alike = {
        (verb, one) for verb, one in asked
        if one in ("statefulsets", "daemonsets", "leases") or (verb, one) == ("list", "deployments")
    }  # fmt: skip
    assert asked - alike - refused == {("get", "applications")}


@pytest.mark.parametrize("name", ["Argo CD", "Flux, a HelmRelease"])
def test_a_token_alone_tells_gitops_nothing(shop: Shop, account: Shop, name: str) -> None:
    keep(shop, KEPT[name])
    wait_until(lambda: not failure(account), "the account has its rights")
    kept = KEPT[name]

    def label() -> str:
        """What comes of another value each time: the same one is not even asked for."""
        return account.kubectl(
            "label", kept.told, shop.namespace, f"a=x{secrets.token_hex(4)}", "--overwrite", check=False
        )

    assert "labeled" in label(), "it bears the name of the plan by which it was held"
    shop.kubectl("annotate", kept.told, shop.namespace, "responder.sre/plan-")
    # A policy is at work a moment after it was made.
    wait_until(lambda: "by plan only" in label(), "admission denies it")


def test_an_account_without_the_right_to_write_changes_nothing(shop: Shop) -> None:
    keep(shop, KEPT["Argo CD"])
    reader = shop.as_account("reader", "--verb=get,list --resource=deployments.apps")
    with pytest.raises(EffectFailed, match="cannot list Applications"):
        planned(reader)
