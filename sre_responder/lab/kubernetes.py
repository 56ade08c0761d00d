"""The demo on a cluster: a Deployment in a namespace of its own, a rollout that cannot come up, and a home that knows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.rollout import troubles
from sre_responder.effects.kubernetes.workload import Workload, find, rolled_out
from sre_responder.errors import EffectFailed, InputError
from sre_responder.home import runbook
from sre_responder.ledger import Ledger

NAMESPACE, SERVICE, RUNBOOK = "responder-demo", "shop", "kubernetes-bad-rollout"
GOOD, BAD = "registry.k8s.io/pause:3.10", "registry.k8s.io/pause:bad-pull-no-such-tag"
READY_SECONDS, GONE_SECONDS = 120, 120
PLACE = Resource("Namespace", "", NAMESPACE)
WORKLOAD = Resource("Deployment", NAMESPACE, SERVICE)


def preview(where: Mapping[str, Any]) -> list[str]:
    """What the demo will do to which cluster; the API server is asked by a dry run. InputError where the namespace is taken."""
    api = connect(where)
    try:
        api.get(PLACE)
    except InputError:
        api.create(PLACE, _namespace(), dry_run=True)
    else:
        raise InputError(
            f"the cluster has a namespace {NAMESPACE} already.",
            cure=f"kubectl delete namespace {NAMESPACE}, if it is yours.",
        )
    return [
        f"create the namespace {NAMESPACE} at {api.server}",
        f"create in it the Deployment {SERVICE}, two pods of {GOOD}, and wait until they are ready",
        f"release {BAD}, which cannot be pulled",
        f"run the runbook {RUNBOOK}, which returns to the revision before",
        f"delete the namespace {NAMESPACE}, and wait until it is gone",
    ]


def up(where: Mapping[str, Any]) -> None:
    """The shop serves."""
    api = connect(where)
    api.create(PLACE, _namespace())
    api.create(WORKLOAD, _deployment())
    until = time.monotonic() + READY_SECONDS
    for document in api.follow(WORKLOAD, until):
        if rolled_out(Workload("Deployment", document)):
            return
    raise EffectFailed(f"{WORKLOAD} was not ready within {READY_SECONDS} s.", cure=f"Can its nodes pull {GOOD}?")


def release_bad(where: Mapping[str, Any]) -> None:
    """The bad image is released, and its first pod fails."""
    api = connect(where)
    place = "/spec/template/spec/containers/0/image"
    api.patch(WORKLOAD, [{"op": "replace", "path": place, "value": BAD}])
    until = time.monotonic() + READY_SECONDS
    while not troubles(api, find(api, arguments(where))):
        if time.monotonic() > until:
            raise EffectFailed(f"no pod of {BAD} failed within {READY_SECONDS} s.", cure="Look at its pods.")
        time.sleep(0.2)


def down(where: Mapping[str, Any]) -> list[str]:
    """Remove the namespace; gives what is left of it."""
    api = connect(where)
    if not _there(api):
        return []
    api.call("delete", PLACE)
    until = time.monotonic() + GONE_SECONDS
    while _there(api):
        if time.monotonic() > until:
            return [f"namespace {NAMESPACE}"]
        time.sleep(0.2)
    return []


def _there(api: Api) -> bool:
    try:
        api.get(PLACE)
    except InputError:
        return False
    return True


def arguments(where: Mapping[str, Any]) -> dict[str, Any]:
    """How an effect finds the shop."""
    return {**where, "namespace": NAMESPACE, "name": SERVICE}


def write_home(folder: Path, where: Mapping[str, Any]) -> None:
    """A home and a ledger of the demo's own."""
    home = folder / "home"
    (folder / "stop").mkdir(parents=True)
    home.mkdir()
    policy = {"profile": "team", "stop": {"file": str(folder / "stop" / "EMERGENCY_STOP")}}
    (home / "policy.yml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    annotations = {"backstage.io/kubernetes-namespace": NAMESPACE, "responder/kubernetes-name": SERVICE}
    if where.get("kubeconfig"):
        annotations["responder/kubeconfig"] = str(where["kubeconfig"])
    if where.get("context"):
        annotations["responder/kubernetes-context"] = str(where["context"])
    annotations["responder/environments"] = "staging"
    component = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": SERVICE, "annotations": annotations},
        "spec": {"type": "service"},
    }
    (home / "catalogue.yml").write_text(yaml.safe_dump(component), encoding="utf-8")
    runbook.register(home, [runbook.SHIPPED / RUNBOOK])
    Ledger(f"sqlite:///{folder / 'ledger.db'}").upgrade()


def _namespace() -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _deployment() -> Document:
    labels = {"app": SERVICE}
    container = {"name": SERVICE, "image": GOOD}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
