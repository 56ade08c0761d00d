"""A rollout under way: whether it fails, and waiting until it is finished."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sre_responder.effects.effect import Change, Propagation
from sre_responder.effects.kubernetes import pod as of_pod
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.pod import Trouble, counts, due, ready, time_of
from sre_responder.effects.kubernetes.revisions import current, history, revision_of
from sre_responder.effects.kubernetes.workload import PLAN, Workload, condition, find, plan_of, rolled_out, seen
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, ResponderError, StateMoved
from sre_responder.model.plan import Wait

LATE, COMPLETE = "ProgressDeadlineExceeded", "NewReplicaSetAvailable"
"""Reasons of a Deployment's condition Progressing: too late; and rolled out, from when on it has no deadline."""
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
    return [
        pod for pod in found if any(_controls(owner, sets) for owner in pod["metadata"].get("ownerReferences") or ())
    ]


def _controls(owner: Document, uids: set[str]) -> bool:
    return bool(owner.get("controller") and owner["uid"] in uids)


def live(api: Api, workload: Workload) -> list[Document]:
    """Its pods but those that have ended, and those being deleted: on a node that is lost they are deleted for ever."""
    return [pod for pod in pods(api, workload) if counts(pod)]


def failing(workload: Workload, owned: list[Document]) -> dict[str, Trouble]:
    """Those of its pods that will not become ready by waiting, by name."""
    now = datetime.now(UTC)
    found = ((pod, of_pod.trouble(pod, now, workload.patience_s)) for pod in owned if counts(pod))
    return {pod["metadata"]["name"]: trouble for pod, trouble in found if trouble}


def troubles(api: Api, workload: Workload) -> dict[str, Trouble]:
    """The workload's pods that will not become ready by waiting, by name."""
    return failing(workload, live(api, workload))


def words(troubles: Mapping[str, Trouble]) -> dict[str, str]:
    """Troubles as the record has them."""
    return {pod: trouble.text for pod, trouble in troubles.items()}


def denied(api: Api, workload: Workload) -> str | None:
    """Why the API server makes no more pods of it (quota, admission), as its controller says; None if it does not.

    A Deployment says so in its status, other controllers in events only.
    """
    failure = condition(workload.document, "ReplicaFailure")
    if failure.get("status") == "True":
        return str(failure.get("message") or failure.get("reason"))
    if workload.kind == "Deployment" or workload.existing >= workload.replicas:
        return None
    query = {"fieldSelector": f"involvedObject.uid={workload.uid},reason=FailedCreate"}
    try:
        events = api.search(Resource("Event", workload.metadata["namespace"]), **query)
    except EffectFailed:  # most likely it may not list events
        return None
    recent = datetime.now(UTC) - timedelta(seconds=workload.patience_s)
    newest = max(events, key=_last, default=None)
    return str(newest.get("message")) if newest and _last(newest) >= recent else None


def _last(event: Document) -> datetime:
    times = ((event.get("series") or {}).get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((time for time in map(time_of, times) if time), default=datetime.min.replace(tzinfo=UTC))


def because(api: Api, workload: Workload, why: str) -> str:
    """Why it is not rolled out, if it is not, in the words of what refuses its pods: quota, admission, scheduler, kubelet."""
    if not why:
        return ""
    first = next((f"pod {pod} {trouble}" for pod, trouble in troubles(api, workload).items()), "")
    return "; ".join(word for word in (why, denied(api, workload), first) if word)


def release(api: Api, workload: Workload, arguments: Mapping[str, Any], revision: str = "") -> None:
    """A StatefulSet waits for its broken pod for ever, whatever its template says: delete what is not ready.

    Of what is of the wanted `revision` already, only what fails is deleted.
    """
    if workload.kind == "StatefulSet":
        owned = live(api, workload)
        broken = failing(workload, owned)
        for pod in owned:
            left = revision_of(pod) != revision and not ready(pod)
            if left or pod["metadata"]["name"] in broken:
                delete(api, pod, arguments)


def delete(api: Api, pod: Document, arguments: Mapping[str, Any]) -> None:
    """Delete this very pod, if it is still there; another of its name stays.

    The plan is written on it first: admission lets Responder's account delete nothing that bears none.
    """
    metadata = pod["metadata"]
    place, uid = Resource("Pod", metadata["namespace"], metadata["name"]), metadata["uid"]
    with contextlib.suppress(StateMoved, InputError):
        api.merge(place, {"metadata": {"uid": uid, "annotations": {PLAN: plan_of(arguments)}}})
        api.call("delete", place, body={"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}})


@contextlib.contextmanager
def after(written: Callable[[], str]) -> Iterator[None]:
    """What fails in this block fails after a write: it says what was written, and is never bad input nor a plan that is void."""
    try:
        yield
    except ResponderError as error:
        if not (done := written()):
            raise
        kind = OutcomeUnknown if isinstance(error, OutcomeUnknown) else EffectFailed
        raise kind(f"{done}, and then: {error.message}", cure=error.cure, **error.details) from error


def unmoved(api: Api, arguments: Mapping[str, Any], change: Change, read: Callable[[Workload], Document]) -> Workload:
    """The workload, where it is as the plan saw it; else StateMoved."""
    workload = find(api, arguments)
    if workload.target != change.target or read(workload) != change.before:
        raise StateMoved(
            f"{workload.resource} has changed since it was planned.", cure="Run the runbook again to make a new plan."
        )
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
        raise StateMoved(error.message, cure="Run the runbook again to make a new plan.") from error


def in_progress(api: Api, workload: Workload) -> Wait | None:
    """A rollout that goes on and may yet come to a good end, with the time at which it counts as failed.

    None if all is rolled out, if it fails, and if nothing goes on: it is paused, or its controller replaces no pod by itself.
    """
    if rolled_out(workload) or workload.spec.get("paused"):
        return None
    if not seen(workload):
        return Wait(
            f"the controller has not seen generation {workload.metadata['generation']} of {workload.resource} yet"
        )
    if workload.on_delete and workload.available == workload.replicas:
        return None
    if condition(workload.document, "Progressing").get("reason") == LATE or denied(api, workload):
        return None
    owned = live(api, workload)
    until = fails_by(workload, owned)
    if until <= datetime.now(UTC) or _fails(api, workload, failing(workload, owned), owned):
        return None
    return Wait(
        f"{workload.resource} is rolling out ({workload.available} of {workload.replicas} available), and none of its new pods"
        f" fails; it counts as failed if there is no progress by {until:%Y-%m-%d %H:%M} UTC",
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
    )


def propagated(arguments: Mapping[str, Any], change: Change, waited_s: float) -> Propagation:
    """Finished, or failed for good: then the evidence judges what it left."""
    api = connect(arguments)
    workload = find(api, arguments)
    if rolled_out(workload):
        return Propagation(True, "its rollout is finished")
    if wait := in_progress(api, workload):
        return Propagation(False, wait.reason)
    return Propagation(True, "its rollout makes no progress any more")


def _fails(api: Api, workload: Workload, troubles: Mapping[str, Trouble], owned: list[Document]) -> bool:
    """Whether a rollout fails by its pods. Those of an earlier template that a Deployment replaces may be why it was released."""
    if not troubles or workload.kind != "Deployment":
        return bool(troubles)
    newest = current(workload, history(api, workload))
    return newest is None or any(
        pod["metadata"]["name"] in troubles and revision_of(pod) == newest.label for pod in owned
    )


def fails_by(workload: Workload, owned: list[Document]) -> datetime:
    """When a rollout counts as failed unless it progresses: by the Deployment's deadline, or by that of a pod that is not ready."""
    patience = timedelta(seconds=workload.patience_s)
    pending = [time for pod in owned if (time := due(pod, workload.patience_s))]
    progress = condition(workload.document, "Progressing")
    updated = time_of(progress.get("lastUpdateTime"))
    if updated and progress.get("reason") != COMPLETE:
        pending.append(updated + patience)
    if pending:
        return min(pending)
    written = [
        entry.get("time") for entry in workload.metadata.get("managedFields") or () if not entry.get("subresource")
    ]
    moved = [part for pod in owned for part in (pod["metadata"].get("creationTimestamp"), _turned(pod))]
    times = map(time_of, (workload.metadata.get("creationTimestamp"), *written, *moved))
    last = max((time for time in times if time), default=datetime.now(UTC))
    return last + patience + timedelta(seconds=float(workload.spec.get("minReadySeconds") or 0))


def _turned(pod: Document) -> str | None:
    return condition(pod, "Ready").get("lastTransitionTime")


def serves_nothing(workload: Workload) -> bool:
    """Whether no pod serves and none of an earlier template is left: there is nothing that a rollback could take away."""
    return seen(workload) and not workload.available and workload.updated >= workload.existing


def finish(
    api: Api, workload: Workload, before: Document, seconds: float, done: Callable[[Workload], bool] = rolled_out
) -> tuple[Workload, str]:
    """Wait until the workload is rolled out; returns how it stands, and why it is not rolled out, else an empty text.

    `before` is the state before the change: a condition that stood there already says nothing of this rollout.
    """
    stale = condition(before, "Progressing")
    now, until = workload, time.monotonic() + seconds
    try:
        for document in api.follow(workload.resource, until):
            now = Workload(workload.kind, document)
            if now.uid != workload.uid:
                raise InputError(f"{workload.resource} was recreated.")
            if done(now):
                return now, ""
            progress = condition(document, "Progressing")
            if progress.get("reason") == LATE and progress != stale:
                return now, f"{LATE}: {progress.get('message', '')}"
    except InputError as error:  # there no longer: what was written is gone with it
        raise OutcomeUnknown(f"{workload.resource} was deleted while it rolled out.", cure="Look at it.") from error
    return now, f"{now.available} of {now.replicas} available after {seconds:g} s"
