"""A rollout under way: whether it fails, and waiting until it is finished."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sre_responder.effects.effect import Change
from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import PLAN, Workload, condition, find, plan_of, rolled_out
from sre_responder.errors import InputError, OutcomeUnknown, StateMoved

FAILING = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError",
           "CreateContainerError", "RunContainerError")  # fmt: skip
"""Why a container waits that will not start by waiting (kubelet's own words)."""
LATE = "ProgressDeadlineExceeded"
TRIES = 3
"""A status that moves changes the resourceVersion, and is no reason to give up."""

T = TypeVar("T")


def pods(api: Api, workload: Workload) -> list[Document]:
    """The pods that the workload owns, at first or second hand."""
    namespace, labels = workload.metadata["namespace"], workload.spec["selector"].get("matchLabels") or {}
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    found = api.search(Resource("Pod", namespace), since=workload.version, labelSelector=selector)
    if workload.kind != "Deployment":
        return [pod for pod in found if workload.owns(pod)]
    near = api.search(Resource("ReplicaSet", namespace), since=workload.version)
    sets = {item["metadata"]["uid"] for item in near if workload.owns(item)}
    return [pod for pod in found if any(o["uid"] in sets for o in pod["metadata"].get("ownerReferences") or ())]


def live(api: Api, workload: Workload) -> list[Document]:
    """Its pods but those that go already: on a node that is lost they go for ever."""
    return [pod for pod in pods(api, workload) if not pod["metadata"].get("deletionTimestamp")]


def trouble(pod: Document) -> str | None:
    """Why a pod will not become ready by waiting; None where nothing says so."""
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in FAILING:
            return f"{container['name']}: {waiting['reason']}"
        if container.get("restartCount", 0) > 1 and not container.get("ready"):
            return f"{container['name']}: restarted {container['restartCount']} times"
        started = ((container.get("state") or {}).get("running") or {}).get("startedAt", "")
        ready = condition(pod, "Ready")
        if started and ready.get("status") == "False" and ready.get("lastTransitionTime", "") > started:
            return f"{container['name']}: ready no longer"  # one that only starts slowly was not ready before it ran
    scheduled = condition(pod, "PodScheduled")
    return f"unschedulable: {scheduled.get('message', '')}" if scheduled.get("reason") == "Unschedulable" else None


def troubles(api: Api, workload: Workload) -> dict[str, str]:
    """The workload's pods that will not become ready by waiting, each with the reason; those that go already are left out."""
    found = ((pod, trouble(pod)) for pod in live(api, workload))
    return {pod["metadata"]["name"]: why for pod, why in found if why}


def because(api: Api, workload: Workload, why: str) -> str:
    """Why it is not rolled out, if it is not, in the words of whoever refuses its pods: quota, admission, scheduler, kubelet."""
    if not why:
        return ""
    refused = condition(workload.document, "ReplicaFailure").get("message")
    first = next((f"pod {pod} {trouble}" for pod, trouble in troubles(api, workload).items()), "")
    return "; ".join(word for word in (why, refused, first) if word)


def release(api: Api, workload: Workload, arguments: Mapping[str, Any]) -> None:
    """A StatefulSet waits for its broken pod for ever, whatever its template says: delete what does not get well.

    The plan is written on it first: admission lets Responder's account delete nothing that bears none.
    """
    if workload.kind == "StatefulSet":
        for pod in troubles(api, workload):
            place = Resource("Pod", workload.metadata["namespace"], pod)
            api.merge(place, {"metadata": {"annotations": {PLAN: plan_of(arguments)}}})
            api.call("delete", place)


def unmoved(api: Api, arguments: Mapping[str, Any], change: Change, read: Callable[[Workload], Document]) -> Workload:
    """The workload, where it is as the plan saw it; else StateMoved."""
    workload = find(api, arguments)
    if workload.target != change.target or read(workload) != change.before:
        raise StateMoved(f"{workload.resource} is no longer as the plan saw it.", cure="Run again for a new plan.")
    return workload


def unless_moved(workload: Workload) -> Document:
    """The operation by which the API server refuses a JSON patch where anything moved since (409). A dry run needs it not."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": workload.metadata["resourceVersion"]}


def insist(write: Callable[[], T]) -> T:
    """Write, and write again where a status that moved was the obstacle (409): `write` looks anew each time whether all is
    as planned. What is there no longer has moved too."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(StateMoved, InputError):
            return write()
    try:
        return write()
    except InputError as error:
        raise StateMoved(error.message, cure="Run again for a new plan.") from error


def in_progress(api: Api, workload: Workload) -> str | None:
    """A rollout that goes on and may yet come to a good end; None where all is rolled out, or where it fails."""
    if rolled_out(workload):
        return None
    if workload.status.get("observedGeneration", 0) < workload.metadata["generation"]:
        return f"the controller has not seen generation {workload.metadata['generation']} of {workload.resource} yet"
    if condition(workload.document, "Progressing").get("reason") == LATE:
        return None
    if any(trouble(pod) for pod in pods(api, workload)):
        return None
    return f"{workload.resource} is rolling out ({workload.available} of {workload.replicas} available), and nothing of it fails"


def finish(api: Api, workload: Workload, before: Document, seconds: float) -> tuple[Workload, str]:
    """Wait until the workload is rolled out; gives how it stands, and why it is not rolled out, else an empty text.

    `before` is the state before the change: a condition that stood there already says nothing of this rollout.
    """
    stale = condition(before, "Progressing")
    now, until = workload, time.monotonic() + seconds
    try:
        for document in api.follow(workload.resource, until):
            now = Workload(workload.kind, document)
            if now.uid != workload.uid:
                raise InputError(f"{workload.resource} was made anew.")
            if rolled_out(now):
                return now, ""
            progress = condition(document, "Progressing")
            if progress.get("reason") == LATE and progress != stale:
                return now, f"{LATE}: {progress.get('message', '')}"
    except InputError as error:  # there no longer: what was written is gone with it
        raise OutcomeUnknown(f"{workload.resource} was deleted while it rolled out.", cure="Look at it.") from error
    return now, f"{now.available} of {now.replicas} available after {seconds:g} s"
