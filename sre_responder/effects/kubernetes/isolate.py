"""A workload that does harm, kept from doing it: its failing pods, its traffic, or all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Became, Change, Effect, by_state
from sre_responder.effects.kubernetes import lock, owners, quarantine
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.autoscaler import autoscaler, bounds, scale_back, set_back
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.pod import counts, ended
from sre_responder.effects.kubernetes.rollout import after, insist, pods, unless_moved, unmoved
from sre_responder.effects.kubernetes.workload import PLAN, Workload, digest, find, kubectl, marked, plan_of, selects
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown

INCIDENT = "responder.sre/incident"
POLL_SECONDS = 0.2


def _read_count(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    return _count(api, find(api, arguments))


def _count(api: Api, workload: Workload) -> dict[str, Any]:
    """The count; where an autoscaler moves it all the time, only whether it is zero, and its bounds."""
    scaler = autoscaler(api, workload)
    return {"zero": not workload.replicas, **bounds(scaler)} if scaler else {"replicas": workload.replicas}


def _plan_zero(arguments: Mapping[str, Any]) -> Change:
    """To zero. There an autoscaler stands still by itself, until somebody scales up: it keeps its bounds."""
    if arguments.get("kind") == "DaemonSet":
        raise InputError("a DaemonSet has no count to set to zero.", cure="Use how: network_policy, or quarantine.")
    api = connect(arguments)
    workload = find(api, arguments)
    scaler, before = autoscaler(api, workload), _count(api, workload)
    after = {**before, **({"zero": True} if scaler else {"replicas": 0})}
    if workload.replicas:
        api.patch(workload.resource, _to_zero(workload, arguments), dry_run=True)
    back = [set_back(arguments, workload.metadata["namespace"], before)] if scaler else []
    return Change(
        target=workload.target,
        before=before,
        after=after,
        undo=[*back, scale_back(arguments, workload)],
        undo_note=f"Scales back to {workload.replicas}, by kubectl{', under the bounds of its autoscaler' if scaler else ''}.",
        evidence={"available": f"{workload.available}/{workload.replicas}", "warnings": owners.warnings(api, workload)},
        busy=owners.at_work(api, workload) or (owners.at_work(api, scaler) if scaler else None),
        capacity=0.0,
        diff={"before": f"replicas: {workload.replicas}\n", "after": "replicas: 0\n"},
    )


def _to_zero(workload: Workload, arguments: Mapping[str, Any]) -> list[Document]:
    return [marked(workload, arguments), {"op": "add", "path": "/spec/replicas", "value": 0}]


def _act_zero(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    until = time.monotonic() + float(arguments.get("timeout_s", 120))

    def write() -> Workload:
        workload = unmoved(api, arguments, change, lambda found: _count(api, found))
        api.patch(workload.resource, [unless_moved(workload), *_to_zero(workload, arguments)])
        return workload

    workload = insist(write)
    with after(lambda: f"{workload.resource} was set to zero"):
        while (left := [pod for pod in pods(api, workload) if not ended(pod)]) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if running := sorted(pod["metadata"]["name"] for pod in left if counts(pod)):
            raise OutcomeUnknown(f"these pods of it go on: {', '.join(running)}.")
        now = _read_count(arguments)
        if now != change.after:
            raise EffectFailed(f"someone else changed the count of {workload.resource}: {now}.")
    return {**now, "ending": sorted(pod["metadata"]["name"] for pod in left)}


def _read_policy(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    return _rules(api, find(api, arguments))


def _rules(api: Api, workload: Workload) -> dict[str, Any]:
    """The digest of what our policy says; None where there is none."""
    found = api.seek(_policy(workload))
    return {"network_policy": digest(found["spec"]) if found else None}


def _policy(workload: Workload) -> Resource:
    name = f"responder-isolate-{workload.kind.lower()}-{workload.metadata['name']}"
    return Resource("NetworkPolicy", workload.metadata["namespace"], name)


def _plan_policy(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload = find(api, arguments)
    policy, document = _policy(workload), _document(workload, arguments)
    before, wanted = _rules(api, workload), {"network_policy": digest(document["spec"])}
    if before not in ({"network_policy": None}, wanted):
        raise InputError(f"{policy} exists already, and says something else.", cure="Look at it, and delete it.")
    if before != wanted:
        _hindered(api, workload)
        wanted = {"network_policy": digest(api.create(policy, document, dry_run=True)["spec"])}
    delete = kubectl(arguments, policy.namespace, "delete", "networkpolicy", policy.name, "--ignore-not-found")
    return Change(
        target=workload.target,
        before=before,
        after=wanted,
        undo=[{"name": f"Delete network policy {policy.name}", **delete}],
        undo_note="Deletes the network policy, by kubectl.",
        evidence={
            "available": f"{workload.available}/{workload.replicas}",
            "warnings": [
                "only a network plugin that knows NetworkPolicy cuts the traffic, and the API server cannot tell whether"
                " there is one; connections that stand already may go on"
            ],
        },
        busy=lock.holder(api, workload),
        capacity=0.0,
        diff={"before": "traffic: as it is\n", "after": "traffic: none, in or out\n"},
    )


def _document(workload: Workload, arguments: Mapping[str, Any]) -> Document:
    policy = _policy(workload)
    marks = {PLAN: plan_of(arguments), INCIDENT: str(arguments.get("_incident", ""))}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": policy.kind,
        "metadata": {"name": policy.name, "namespace": policy.namespace, "annotations": marks},
        "spec": {"podSelector": workload.spec["selector"], "policyTypes": ["Ingress", "Egress"]},
    }


def _hindered(api: Api, workload: Workload) -> None:
    """InputError where a policy would not do what it is for: it takes by label, and cannot take back what another allows."""
    namespace, selector = workload.metadata["namespace"], workload.spec["selector"]
    own = {pod["metadata"]["uid"] for pod in pods(api, workload)}
    others = [
        pod["metadata"]["name"]
        for pod in api.search(Resource("Pod", namespace))
        if pod["metadata"]["uid"] not in own
        and not ended(pod)
        and selects(selector, pod["metadata"].get("labels") or {})
    ]
    if others:
        raise InputError(
            f"the labels of {workload.resource} take in pods of others too: {', '.join(sorted(others))}.",
            cure="Use how: quarantine, or scale_to_zero.",
        )
    labels = workload.template["metadata"].get("labels") or {}
    allowing = [
        item["metadata"]["name"]
        for item in api.search(Resource("NetworkPolicy", namespace))
        if selects(item["spec"].get("podSelector") or {}, labels)
        and (item["spec"].get("ingress") or item["spec"].get("egress"))
    ]
    if allowing:
        raise InputError(
            f"network policies allow traffic to {workload.resource}, which no other policy can take back:"
            f" {', '.join(sorted(allowing))}.",
            cure="Use how: quarantine, or scale_to_zero.",
        )


def _act_policy(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    def write() -> Workload:
        workload = unmoved(api, arguments, change, lambda found: _rules(api, found))
        _hindered(api, workload)
        api.create(_policy(workload), _document(workload, arguments))
        return workload

    workload = insist(write)
    with after(lambda: f"{_policy(workload)} was created"):
        now = _rules(api, workload)
        if now != change.after:  # a webhook changed what was written since the dry run
            raise EffectFailed(f"it is not what the plan predicted: {now}.")
    return now


@dataclass(frozen=True)
class How:
    """One way of isolation: the parts of an effect."""

    plan: Callable[[Mapping[str, Any]], Change]
    act: Callable[[Api, Mapping[str, Any], Change], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]


HOW = {
    "quarantine": How(quarantine.plan, quarantine.act, quarantine.read),
    "network_policy": How(_plan_policy, _act_policy, _read_policy),
    "scale_to_zero": How(_plan_zero, _act_zero, _read_count),
}


def _how(arguments: Mapping[str, Any]) -> How:
    how = str(arguments.get("how") or "quarantine")
    if how not in HOW:
        raise InputError(f"how '{how[:80]}' is none of {', '.join(HOW)}.", cure="Name one of these.")
    return HOW[how]


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api, how = connect(arguments), _how(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return how.act(api, arguments, change)


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    return (quarantine.became if "quarantined" in old.before else by_state)(old, now)


class _Options(WorkloadOptions):
    how: Literal["quarantine", "network_policy", "scale_to_zero"] = option(
        "V(quarantine) for the failing pods of a Deployment or DaemonSet.",
        "V(network_policy) for the traffic of all pods.",
        "V(scale_to_zero) for all pods of a Deployment or StatefulSet.",
        default="quarantine",
    )


_ACTION = Action(
    name="kubernetes_isolate",
    rung=0,
    platform="kubernetes",
    options=_Options,
    summary="Keep a workload on Kubernetes from doing harm",
    description=(
        "Containment. What was isolated stays on the contained list until it is undone.",
        "V(quarantine) takes the pods that fail out of their workload and its Services by their labels. They "
        "stay as they are for diagnosis, with the label C(responder.sre/quarantined), and others take their "
        "place. The undo deletes them. Given their labels back, they would be taken in as surplus, and good "
        "pods might be ended in their place.",
        "V(network_policy) denies all traffic to and from the workload's pods. Refused where their labels take "
        "in pods of others, or another NetworkPolicy allows traffic, which no policy can take back. A network "
        "plugin that knows NetworkPolicy must be there.",
        "V(scale_to_zero) ends all pods. A HorizontalPodAutoscaler stands still at zero, and the undo restores "
        "its bounds and the count. Refused where GitOps or an operator keeps the workload or its autoscaler.",
        "With V(network_policy) and V(scale_to_zero) no capacity is left, and the policy's limit of what must "
        "remain counts.",
    ),
    examples=(
        (
            "Take the failing pods of checkout out of traffic",
            {"namespace": "shop", "name": "checkout", "how": "quarantine"},
        ),
    ),
    undo=UNDO_BY_KUBECTL,
)
ISOLATE = Effect(
    _ACTION,
    lambda arguments: _how(arguments).plan(arguments),
    _act,
    lambda arguments: _how(arguments).read(arguments),
    same_namespace,
    _became,
)
