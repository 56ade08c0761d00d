"""A rolling restart, as `kubectl rollout restart` makes it: every pod is replaced, as fast as the workload's own limits allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sre_responder.effects.action import NO_UNDO, Action
from sre_responder.effects.effect import Became, Change, Effect
from sre_responder.effects.kubernetes import owners
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.grounds import no_ground_for_restart
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.rollback import CAUSE
from sre_responder.effects.kubernetes.rollout import (
    after,
    because,
    finish,
    in_progress,
    insist,
    propagated,
    release,
    troubles,
    unless_moved,
    unmoved,
    words,
)
from sre_responder.effects.kubernetes.room import no_room
from sre_responder.effects.kubernetes.workload import PLAN, RESTARTED, Workload, content, find, plan_of, selects
from sre_responder.errors import EffectFailed, InputError, NotApplicable, ResponderError, StateMoved


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return _identity(find(connect(arguments), arguments))


def _identity(workload: Workload) -> dict[str, Any]:
    return {"template": content(workload.template), "restarted": _annotations(workload).get(RESTARTED)}


def _annotations(workload: Workload) -> dict[str, str]:
    return (workload.template.get("metadata") or {}).get("annotations") or {}


def _plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload = find(api, arguments)
    if needless := no_ground_for_restart(api, workload):
        raise NotApplicable(f"to restart {workload.resource} would not help: {needless}.")
    unavailable = _unavailable(workload)
    if why := _unfinishable(api, workload, unavailable):
        raise InputError(f"a restart of {workload.resource} could not finish: {why[0]}.", cure=why[1])
    before = _identity(workload)
    predicted = Workload(workload.kind, api.patch(workload.resource, _operations(workload, arguments), dry_run=True))
    return Change(
        target=workload.target,
        before=before,
        after={**_identity(predicted), "restarted": f"after {before['restarted'] or 'never'}"},
        undo_note="Nothing to undo: a restart keeps no earlier state.",
        evidence={
            "available": f"{workload.available}/{workload.replicas}",
            "budgets": _budgets(api, workload),
            "troubles": words(troubles(api, workload)),
            "warnings": owners.warnings(api, workload),
        },
        busy=owners.at_work(api, workload),
        wait=in_progress(api, workload),
        capacity=max(0.0, 1 - unavailable / workload.replicas),
        diff={
            "before": f"restarted: {before['restarted'] or 'never'}\n",
            "after": f"restarted: now, {workload.replicas} pods, at most {unavailable} of them at once unavailable\n",
        },
    )


def _unfinishable(api: Api, workload: Workload, unavailable: int) -> tuple[str, str] | None:
    """Why a rollout of the template that the workload has would not come to its end, and the cure."""
    name = f"{workload.kind.lower()}/{workload.metadata['name']}"
    if workload.spec.get("paused"):
        return "it is paused", f"`kubectl rollout resume {name}`"
    if workload.on_delete:
        return "its update strategy is OnDelete, which replaces no pod by itself", "Delete its pods one by one."
    if partition := workload.partition:
        return f"its partition {partition} holds the pods below that number back", "Set the partition to 0."
    if not workload.replicas:
        return "no pod of it is wanted", "Scale it up."
    for pod, why in troubles(api, workload).items():
        if why.kind == "image":
            cure = "Restore the image, or use kubernetes_rollback: a restart would end what still runs."
            return f"the image cannot be pulled now (pod {pod}, {why}), gone from the registry perhaps", cure
        if why.kind == "unschedulable":
            return f"no node takes its pods now (pod {pod}, {why})", "Make room on the nodes."
    if refused := no_room(api, workload, 0 if unavailable else 1):
        return f"there is no room for the surge: {refused}", "Make room in the namespace."
    return None


def _unavailable(workload: Workload) -> int:
    """How many pods the rollout may take out at once, as the controller reckons it."""
    wanted = workload.replicas
    if workload.kind == "Deployment":
        strategy = workload.spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return wanted
        limits = strategy.get("rollingUpdate") or {}
        surge = _share(limits.get("maxSurge", "25%"), wanted, math.ceil)
        return _share(limits.get("maxUnavailable", "25%"), wanted, math.floor) or int(not surge)
    limits = (workload.spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    most = _share(limits.get("maxUnavailable", 1), wanted, math.ceil)
    return most or int(not _share(limits.get("maxSurge", 0), wanted, math.ceil))


def _share(limit: object, of: int, rounded: Any) -> int:
    text = str(limit)
    return int(rounded(of * int(text[:-1]) / 100)) if text.endswith("%") else int(text)


def _budgets(api: Api, workload: Workload) -> list[str]:
    """The PodDisruptionBudgets of its pods, for people: they hold evictions, and are no obstacle to a rollout."""
    labels = (workload.template.get("metadata") or {}).get("labels") or {}
    try:
        found = api.search(Resource("PodDisruptionBudget", workload.metadata["namespace"]))
    except ResponderError as error:
        return [f"could not be looked at: {error.message}"]
    return [
        f"{item['metadata']['name']} allows {(item.get('status') or {}).get('disruptionsAllowed', 0)} disruptions now;"
        " a rollout does not ask it"
        for item in found
        if selects(item["spec"].get("selector") or {}, labels)
    ]


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _restart(api, arguments, change)


def _restart(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    def write() -> tuple[Workload, Workload]:
        workload = unmoved(api, arguments, change, _identity)
        if why := _unfinishable(api, workload, _unavailable(workload)):
            raise StateMoved(f"{workload.resource} could no longer finish a restart: {why[0]}.", cure=why[1])
        operations = [unless_moved(workload), *_operations(workload, arguments)]
        return workload, Workload(workload.kind, api.patch(workload.resource, operations))

    before, written = insist(write)
    with after(lambda: f"{written.resource} was told to restart"):
        if _became(change, _identity(written)) != "done":  # a webhook changed what was written since the dry run
            raise EffectFailed(f"it is not what the plan predicted: {_identity(written)}.")
        release(api, written, arguments)
        now, why = finish(api, written, before.document, float(arguments.get("timeout_s", 120)))
        if _identity(now) != _identity(written):
            raise EffectFailed(f"someone else changed {now.resource} while it restarted: {_identity(now)}.")
        why = because(api, now, why)
    return {**_identity(now), "available": f"{now.available}/{now.replicas}", "not_rolled_out": why}


def _operations(workload: Workload, arguments: Mapping[str, Any]) -> list[Document]:
    annotations, incident, plan = workload.annotations, arguments.get("_incident", ""), plan_of(arguments)
    annotations[CAUSE] = f"{incident}: restart by Responder, plan {plan[:12]}"
    annotations[PLAN] = plan
    on_template = {**_annotations(workload), RESTARTED: _later(_annotations(workload).get(RESTARTED, ""))}
    return [
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
        {"op": "add", "path": "/spec/template/metadata/annotations", "value": on_template},
    ]


def _later(than: str) -> str:
    """The time now, or a second after the last restart where clocks differ: the same words again would restart nothing."""
    now = datetime.now(UTC)
    try:
        now = max(now, datetime.fromisoformat(than) + timedelta(seconds=1))
    except (ValueError, TypeError):
        pass  # never restarted, or annotated with something that is not a time
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    if now == old.before:
        return "not_done"
    return "done" if now["template"] == old.after["template"] and now["restarted"] else None


_ACTION = Action(
    name="kubernetes_restart",
    rung=2,
    platform="kubernetes",
    options=WorkloadOptions,
    summary="Restart a workload on Kubernetes by a rollout",
    description=(
        "Replaces every pod of a Deployment, StatefulSet or DaemonSet as C(kubectl rollout restart) does, as "
        "fast as the workload's own surge and C(maxUnavailable) allow, and waits until that is done.",
        "Refused where the rollout could not finish, since it would end pods that still run. That is, where "
        "the workload is paused, its update strategy is C(OnDelete), a partition holds pods back, the image "
        "cannot be pulled now, no node takes its pods now, or a ResourceQuota or LimitRange leaves no room for "
        "the surge.",
        "Refused too where the workload is rolling out without failing, or is kept by GitOps or by an operator.",
        "A PodDisruptionBudget holds evictions only. It is told in the plan, and is no obstacle.",
        "The change cause in the history names incident and plan.",
    ),
    examples=(("Restart checkout", {"namespace": "shop", "name": "checkout"}),),
    undoable=False,
    undo=NO_UNDO,
)
RESTART = Effect(_ACTION, _plan, _act, _read, same_namespace, _became, propagated=propagated)
