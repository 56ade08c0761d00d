"""How many pods a workload has: its count, or the bounds of the autoscaler that sets the count."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Change, Effect
from sre_responder.effects.kubernetes import gitops, owners
from sre_responder.effects.kubernetes.api import Api, Document, connect
from sre_responder.effects.kubernetes.autoscaler import autoscaler, bounds, scale_back, set_back
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.rollback import APPLIED
from sre_responder.effects.kubernetes.rollout import (
    after,
    because,
    finish,
    in_progress,
    insist,
    propagated,
    troubles,
    unless_moved,
    words,
)
from sre_responder.effects.kubernetes.room import no_room
from sre_responder.effects.kubernetes.workload import Workload, find, marked, scaled
from sre_responder.errors import EffectFailed, InputError, StateMoved


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    workload = find(api, arguments)
    return _identity(workload, autoscaler(api, workload))


def _identity(workload: Workload, scaler: Workload | None) -> dict[str, Any]:
    return bounds(scaler) if scaler else {"replicas": workload.replicas}


def _plan(arguments: Mapping[str, Any]) -> Change:
    api, wanted = connect(arguments), _wanted(arguments)
    workload = find(api, arguments)
    scaler = autoscaler(api, workload)
    now, before, set_by = workload.replicas, _identity(workload, scaler), scaler or workload
    if scaler and not now:
        raise InputError(
            f"{workload.resource} is scaled to zero, where {scaler.resource} stands still: its bounds start nothing.",
            cure="Undo that containment, or scale it up by hand.",
        )
    if why := wanted > now and no_room(api, workload, wanted - now):
        raise InputError(
            f"{workload.resource} cannot have {wanted} pods: {why}.", cure="Name fewer, or make room in the namespace."
        )
    predicted = Workload(set_by.kind, api.patch(set_by.resource, _operations(set_by, wanted, arguments), dry_run=True))
    after = _identity(predicted, predicted if scaler else None)
    back = set_back(arguments, workload.metadata["namespace"], before) if scaler else scale_back(arguments, workload)
    return Change(
        target=workload.target,
        before=before,
        after=after,
        undo=[back],
        undo_note="Gives the autoscaler its bounds back, by kubectl." if scaler else f"Scales back to {now}, by kubectl.",
        evidence={
            "available": f"{workload.available}/{now}",
            "troubles": words(troubles(api, workload)),
            "warnings": [*_applied(workload, scaler), *owners.warnings(api, set_by)],
        },
        busy=owners.at_work(api, workload) or (owners.at_work(api, scaler) if scaler else None),
        wait=in_progress(api, workload),
        capacity=wanted / now if wanted < now else None,
        diff={"before": f"{_shown(before)}\n", "after": f"{_shown(after)}\n"},
    )  # fmt: skip


def _wanted(arguments: Mapping[str, Any]) -> int:
    wanted = int(arguments["replicas"])
    if arguments.get("kind") == "DaemonSet":
        raise InputError(
            "a DaemonSet has one pod on each of its nodes, and no count to set.", cure="Change which nodes it selects."
        )
    if wanted < 1:
        raise InputError(
            f"{wanted} replicas is an outage, and never a scale.", cure="containment: kubernetes_isolate, how: scale_to_zero."
        )  # fmt: skip
    return wanted


def _operations(set_by: Workload, wanted: int, arguments: Mapping[str, Any]) -> list[Document]:
    """An autoscaler would undo another count, so it is given the floor; and the ceiling, where that is lower."""
    if set_by.kind == "HorizontalPodAutoscaler":
        values = {"minReplicas": wanted, "maxReplicas": max(wanted, bounds(set_by)["max"])}
    else:
        values = {"replicas": wanted}
    sets = [{"op": "add", "path": f"/spec/{name}", "value": value} for name, value in values.items()]
    return [marked(set_by, arguments), *sets]


def _applied(workload: Workload, scaler: Workload | None) -> list[str]:
    """Whether the next `kubectl apply` sets another count."""
    try:
        count = json.loads(workload.annotations.get(APPLIED, "{}"))["spec"]["replicas"]
    except (ValueError, TypeError, KeyError):
        return []
    whose = "and the autoscaler sets it again" if scaler else "whatever was scaled"
    return [f"the next kubectl apply sets {count} replicas, as its manifest says, {whose}"]


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _scale(api, arguments, change)


def _scale(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    wanted = _wanted(arguments)
    until = time.monotonic() + float(arguments.get("timeout_s", 120))

    def write() -> tuple[Workload, Workload]:
        workload = find(api, arguments)
        scaler = autoscaler(api, workload)
        if workload.target != change.target or _identity(workload, scaler) != change.before:
            raise StateMoved(
                f"{workload.resource} has changed since it was planned.",
                cure="Run the runbook again to make a new plan.",
            )
        set_by = scaler or workload
        operations = [unless_moved(set_by), *_operations(set_by, wanted, arguments)]
        return workload, Workload(set_by.kind, api.patch(set_by.resource, operations))

    workload, written = insist(write)
    scaler = written if written.kind != workload.kind else None
    with after(lambda: f"{written.resource} was changed ({_shown(change.before)} to {_shown(change.after)})"):
        if _identity(written, scaler) != change.after:
            raise EffectFailed("it is not what the plan predicted.")
        now = _followed(api, workload, wanted, until) if scaler else written
        now, why = finish(api, now, workload.document, max(1.0, until - time.monotonic()), scaled)
        observed = _read(arguments)
        if observed != change.after:
            raise EffectFailed(f"someone else changed {written.resource}: {observed}.")
        if scaler and now.replicas < wanted:
            why = f"{scaler.resource} has not raised it yet: {now.replicas} of {wanted} replicas"
        return {**observed, "available": f"{now.available}/{now.replicas}", "not_rolled_out": because(api, now, why)}


def _followed(api: Api, workload: Workload, wanted: int, until: float) -> Workload:
    """The workload once its autoscaler has raised it to its floor; it looks every 15 seconds."""
    for document in api.follow(workload.resource, until):
        workload = Workload(workload.kind, document)
        if workload.replicas >= wanted:
            break
    return workload


def _shown(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in state.items())


class _Options(WorkloadOptions):
    replicas: int = option("How many pods are wanted, at least 1.", annotation="responder/kubernetes-peak-replicas")


_ACTION = Action(
    name="kubernetes_scale",
    rung=2,
    platform="kubernetes",
    options=_Options,
    summary="Give a workload on Kubernetes another number of pods",
    description=(
        "Sets the count of a Deployment or StatefulSet, and waits until so many pods serve.",
        "Where a HorizontalPodAutoscaler sets the count, its C(minReplicas) is set instead, and its "
        "C(maxReplicas) where that is lower. It would undo any other count.",
        "The API server is asked first, by a dry run. Refused where a ResourceQuota or LimitRange leaves no "
        "room for so many pods. What no node takes is told after the act, in the scheduler's words.",
        "Never to zero. That is containment, M(sre.responder.kubernetes_isolate).",
        "Refused where the workload is rolling out without failing, or it or its autoscaler is kept by GitOps "
        "or by an operator.",
    ),
    examples=(("Give checkout two pods more", {"namespace": "shop", "name": "checkout", "replicas": 6}),),
    undo=UNDO_BY_KUBECTL,
)
SCALE = Effect(
    _ACTION,
    _plan,
    _act,
    _read,
    same_namespace,
    disagreement=gitops.disagreement,
    propagated=propagated,
)
