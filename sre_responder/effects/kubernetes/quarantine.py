"""Pods that fail, out of their workload and its Services: they stay as they are for diagnosis, and others take their place."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from sre_responder.effects.effect import Became, Change, by_state
from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.rollout import after, insist, pods, troubles, unless_moved, unmoved, words
from sre_responder.effects.kubernetes.room import no_room
from sre_responder.effects.kubernetes.workload import PLAN, Workload, find, keys_of, kubectl, plan_of, selects
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, StateMoved

QUARANTINED = "responder.sre/quarantined"
"""Label of a pod in quarantine: the incident."""
FROM = "responder.sre/quarantined-from"
"""Label of a pod in quarantine: the uid of its workload, whose own labels it no longer has."""
LABELS = "responder.sre/labels"
"""Annotation of a pod in quarantine: the labels that were taken from it."""


def read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    return _identity(api, find(api, arguments))


def _identity(api: Api, workload: Workload) -> dict[str, Any]:
    found = api.search(Resource("Pod", workload.metadata["namespace"]), labelSelector=f"{FROM}={workload.uid}")
    return {"quarantined": sorted(pod["metadata"]["name"] for pod in found)}


def plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload = find(api, arguments)
    if workload.kind == "StatefulSet":
        raise InputError(
            f"a pod of {workload.resource} is replaced under its own name only, which one in quarantine would keep.",
            cure="Use how: network_policy, or scale_to_zero.",
        )
    before, sick, services = _identity(api, workload), _sick(api, workload), _services(api, workload)
    if not sick and not before["quarantined"]:
        raise InputError(
            f"no pod of {workload.resource} fails: nothing is to be quarantined.", cure="Look at its pods."
        )
    for pod in sick:
        operations = _operations(api, workload, services.values(), pod, arguments)
        api.patch(Resource("Pod", workload.metadata["namespace"], pod), operations, dry_run=True)
    after = {"quarantined": sorted([*before["quarantined"], *sick])}
    gone = kubectl(arguments, workload.metadata["namespace"], "delete", "pod", "--ignore-not-found", *sorted(sick))
    refused = no_room(api, workload, len(sick))
    return Change(
        target=workload.target,
        before=before,
        after=after,
        undo=[{"name": "Delete the pods in quarantine", **gone}] if sick else [],
        # Given back their labels, they would be taken in as surplus, and their controller might end good pods instead.
        undo_note="Deletes the pods in quarantine: others have taken their place.",
        evidence={
            "pods": sick,
            "services": sorted(services),
            "available": f"{workload.available}/{workload.replicas}",
            "warnings": [f"no other pod takes their place: {refused}"] if sick and refused else [],
        },
        busy=lock.holder(api, workload),
        diff={
            "before": "".join(f"{pod}: {why}\n" for pod, why in sick.items()),
            "after": "".join(f"{pod}: in quarantine\n" for pod in after["quarantined"]),
        },
    )


def _sick(api: Api, workload: Workload) -> dict[str, str]:
    """The pods that fail, on a node: there is nothing to diagnose in one that no node takes."""
    return words({pod: why for pod, why in troubles(api, workload).items() if why.kind != "unschedulable"})


def _services(api: Api, workload: Workload) -> dict[str, set[str]]:
    """The Services that send traffic to the workload's pods, and the labels by which they find them."""
    labels = workload.template["metadata"].get("labels") or {}
    found = api.search(Resource("Service", workload.metadata["namespace"]))
    selectors = {item["metadata"]["name"]: item["spec"].get("selector") or {} for item in found}
    return {
        name: {*selector} for name, selector in selectors.items() if selector and selector.items() <= labels.items()
    }


def _operations(
    api: Api, workload: Workload, services: Iterable[set[str]], name: str, arguments: Mapping[str, Any]
) -> list[Document]:
    """The JSON patch that takes a pod, which must be the workload's own and failing, out of every selector.

    The resourceVersion stands first: nothing of it may have moved since it was looked at.
    """
    pod = next((pod for pod in pods(api, workload) if pod["metadata"]["name"] == name), None)
    if pod is None:
        raise StateMoved(f"pod {name} is gone.", cure="Run the runbook again to make a new plan.")
    held = Workload("Pod", pod)
    labels = pod["metadata"].get("labels") or {}
    taken = {key: labels[key] for key in keys_of(workload.spec["selector"]).union(*services) if key in labels}
    kept = {key: value for key, value in labels.items() if key not in taken}
    if selects(workload.spec["selector"], kept):
        raise InputError(
            f"{workload.resource} takes in pods without any label: none can be taken out of it by its labels.",
            cure="Use how: network_policy, or scale_to_zero.",
        )
    marks = {QUARANTINED: str(arguments.get("_incident") or "planned"), FROM: workload.uid}
    annotations = {**held.annotations, PLAN: plan_of(arguments), LABELS: json.dumps(taken, sort_keys=True)}
    return [
        unless_moved(held),
        {"op": "add", "path": "/metadata/labels", "value": {**kept, **marks}},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]


def act(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    until = time.monotonic() + float(arguments.get("timeout_s", 120))
    names = [pod for pod in change.after["quarantined"] if pod not in change.before["quarantined"]]

    def looked() -> Workload:
        workload = unmoved(api, arguments, change, partial(_identity, api))
        if well := sorted({*names} - {*_sick(api, workload)}):
            raise StateMoved(
                f"{', '.join(well)} fails no longer, or is gone.", cure="Run the runbook again to make a new plan."
            )
        return workload

    workload, done = insist(looked), list[str]()
    keys = _services(api, workload).values()
    with after(lambda: f"{', '.join(done)} went into quarantine" if done else ""):
        for name in names:
            insist(partial(_take_out, api, workload, keys, name, arguments))
            done.append(name)
        for name in names:
            _released(api, Resource("Pod", workload.metadata["namespace"], name), until)
        now = find(api, arguments)
        if _identity(api, now) != change.after:
            raise EffectFailed(f"someone else changed what is in quarantine: {_identity(api, now)}.")
    return {**change.after, "available": f"{now.available}/{now.replicas}"}


def _take_out(
    api: Api, workload: Workload, services: Iterable[set[str]], name: str, arguments: Mapping[str, Any]
) -> None:
    api.patch(
        Resource("Pod", workload.metadata["namespace"], name), _operations(api, workload, services, name, arguments)
    )


def _released(api: Api, pod: Resource, until: float) -> None:
    """Wait until its controller has let the pod go: only then is another made."""
    for document in api.follow(pod, until):
        if not any(owner.get("controller") for owner in document["metadata"].get("ownerReferences") or ()):
            return
    raise OutcomeUnknown(f"{pod} has no label of its workload any more, and its controller has not let it go.")


def became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Pods go one by one: between before and after, it was cut short."""
    between = {*old.before["quarantined"]} < {*now["quarantined"]} < {*old.after["quarantined"]}
    return by_state(old, now) or ("cut_short" if between else None)
