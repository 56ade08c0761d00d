"""A node taken out of use: no new pods come, and those that are there are evicted, as their disruption budgets allow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Became, Change, Effect
from sre_responder.effects.kubernetes import healers
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.evict import evict, held_by_budget
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, ClusterOptions
from sre_responder.effects.kubernetes.place import same_cluster
from sre_responder.effects.kubernetes.pod import ended
from sre_responder.effects.kubernetes.rollout import after, insist, unless_moved
from sre_responder.effects.kubernetes.workload import Workload, condition, kubectl, lost, marked, plan_of
from sre_responder.errors import EffectFailed, InputError, StateMoved

MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a pod that kubelet runs from a file: the API server has its picture only."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Pods:
    """The running pods of a node, by what becomes of them in a drain."""

    go: list[Document]
    bare: list[Document]
    """No controller would make them anew."""
    stay: list[Document]
    unconfirmed: list[Document]
    """Evicted, on a node whose kubelet answers no more: whether they have ended, nobody knows."""


def _node(api: Api, arguments: Mapping[str, Any]) -> Workload:
    return Workload("Node", api.get(Resource("Node", "", str(arguments["node"]))))


def _target(node: Workload) -> str:
    return f"kubernetes:node/{node.metadata['name']}:{node.uid}"


def _pods(api: Api, node: Workload) -> Pods:
    found = Pods([], [], [], [])
    for pod in api.search(Resource("Pod", ""), fieldSelector=f"spec.nodeName={node.metadata['name']}"):
        metadata = pod["metadata"]
        kinds = [owner["kind"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
        if ended(pod):
            continue
        if "DaemonSet" in kinds or MIRROR in (metadata.get("annotations") or {}):
            found.stay.append(pod)
        elif metadata.get("deletionTimestamp") and lost(node.document):
            found.unconfirmed.append(pod)
        else:
            (found.go if kinds else found.bare).append(pod)
    return found


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    node = _node(api, arguments)
    return _identity(node, _pods(api, node))


def _identity(node: Workload, pods: Pods) -> dict[str, Any]:
    """Which pods are on the node moves all the time; whether a cordoned one has any, is what a drain is about."""
    cordoned = bool(node.spec.get("unschedulable"))
    return {"cordoned": cordoned, "drained": cordoned and not pods.go}


def _names(pods: list[Document]) -> list[str]:
    return sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods)


def _plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    node = _node(api, arguments)
    name, pods = node.metadata["name"], _pods(api, node)
    if pods.bare:
        raise InputError(
            f"no controller would recreate these pods of {node.resource}: {', '.join(_names(pods.bare))}.",
            cure="Ask whose they are, and move or delete them first.",
        )
    before = _identity(node, pods)
    if not before["cordoned"]:
        api.patch(node.resource, _cordon(node, arguments), dry_run=True)
    uncordon = {"name": f"Uncordon node {name}", **kubectl(arguments, "default", "uncordon", name)}
    return Change(
        target=_target(node),
        before=before,
        after={"cordoned": True, "drained": True},
        undo=[] if before["cordoned"] else [uncordon],
        undo_note=(
            "Nothing to undo: the node was cordoned before, and who did that uncordons it."
            if before["cordoned"]
            else "Uncordons the node, by kubectl; pods that went stay where they are by then."
        ),
        evidence={
            "pods": _names(pods.go),
            "stay": _names(pods.stay),
            "unconfirmed": _names(pods.unconfirmed),
            "warnings": [*_warnings(api, pods), *healers.warnings(node)],
        },
        busy=healers.at_work(api, node),
        capacity=_capacity(api, node),
        diff={
            "before": f"cordoned: {before['cordoned']}\n" + "".join(f"{pod}\n" for pod in _names(pods.go)),
            "after": "cordoned: True\n",
        },
    )


def _cordon(node: Workload, arguments: Mapping[str, Any]) -> list[Document]:
    return [marked(node, arguments), {"op": "add", "path": "/spec/unschedulable", "value": True}]


def _warnings(api: Api, pods: Pods) -> list[str]:
    """What is lost, and what may take its time."""
    losing = [pod for pod in pods.go if any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())]
    waiting = [pod for pod in pods.go if not pod["metadata"].get("deletionTimestamp")]
    return [
        *(f"pod {pod} loses what its emptyDir holds" for pod in _names(losing)),
        *(f"waits for a PodDisruptionBudget: {why}" for pod in waiting if (why := held_by_budget(api, pod))),
    ]


def _capacity(api: Api, node: Workload) -> float:
    """The share of nodes that take pods without this one."""
    nodes = api.search(Resource("Node", ""))
    others = [
        one for one in nodes
        if one["metadata"]["uid"] != node.uid
        and not one["spec"].get("unschedulable") and condition(one, "Ready").get("status") == "True"
    ]  # fmt: skip
    return len(others) / len(nodes)


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: _node(api, arguments)), arguments):
        return _drain(api, arguments, change)


def _drain(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    seconds = float(arguments.get("timeout_s", 300))
    until = time.monotonic() + seconds

    def cordon() -> Workload:
        node = _node(api, arguments)
        pods = _pods(api, node)
        if _target(node) != change.target or _identity(node, pods) != change.before or pods.bare:
            raise StateMoved(
                f"{node.resource} has changed since it was planned.", cure="Run the runbook again to make a new plan."
            )
        return (
            node
            if change.before["cordoned"]
            else Workload("Node", api.patch(node.resource, [unless_moved(node), *_cordon(node, arguments)]))
        )

    node = insist(cordon)
    with after(lambda: f"{node.resource} is cordoned"):
        left = _empty(api, node, plan_of(arguments), until)
        if left:
            told = ", ".join(f"{pod} ({why})" for pod, why in sorted(left.items()))
            raise EffectFailed(
                f"after {seconds:g} s these pods are still on it: {told}.",
                cure="Nothing is deleted around a budget: give its workload more pods elsewhere, and run again.",
            )
        now = _node(api, arguments)
        pods = _pods(api, now)
        if _identity(now, pods) != change.after:
            raise EffectFailed(f"someone else changed {now.resource} while it was drained: {_identity(now, pods)}.")
    return {**change.after, "stay": _names(pods.stay), "unconfirmed": _names(pods.unconfirmed)}


def _empty(api: Api, node: Workload, plan: str, until: float) -> dict[str, str]:
    """Evict until none is left, or the time is up; gives those that are left, and why."""
    while True:
        left: dict[str, str] = {}
        for pod in _pods(api, node).go:
            left[_names([pod])[0]] = (
                "is going" if pod["metadata"].get("deletionTimestamp") else _evicted(api, pod, plan)
            )
        if not left or time.monotonic() > until:
            return left
        time.sleep(POLL_SECONDS)


def _evicted(api: Api, pod: Document, plan: str) -> str:
    """Ask once more; gives how that ended."""
    try:
        evict(api, pod, plan)
    except (StateMoved, InputError):  # it moved, or is gone: the next round looks
        return "moves"
    except EffectFailed as error:
        if not (budget := error.details.get("budget")):
            raise
        return str(budget)
    return "is going"


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """The cordon comes first. Where it stood before, nobody can tell from the pods that are left whether any went."""
    if not now["cordoned"]:
        return None if old.before["cordoned"] else "not_done"
    return "done" if now["drained"] else None if old.before["cordoned"] else "cut_short"


class _Options(ClusterOptions):
    node: str = option("Name of the node.")
    timeout_s: float = option("How long to wait until its pods are gone, in seconds.", default=300.0)


_ACTION = Action(
    name="kubernetes_drain",
    rung=0,
    platform="kubernetes",
    options=_Options,
    summary="Cordon and drain a node of Kubernetes",
    description=(
        "Containment. Cordons the node, so that no new pods come, and evicts its pods, through the eviction API alone.",
        "Mirror pods and pods of a DaemonSet stay, and are told. So are pods that lose what an C(emptyDir) holds.",
        "Refused where a pod has no controller, since it would not come back, or where kured, medik8s, Cluster "
        "API or another Responder is at work on the node.",
        "A PodDisruptionBudget is waited for until O(timeout_s). What is left on the node then is told, the "
        "node stays cordoned, and the task fails.",
        "The undo uncordons the node, only where this action has cordoned it.",
    ),
    examples=(("Take a failing node out of use", {"node": "worker-3"}),),
    undo=UNDO_BY_KUBECTL,
)
DRAIN = Effect(_ACTION, _plan, _act, _read, same_cluster, _became)
