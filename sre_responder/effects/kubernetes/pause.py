"""A rollout that makes things worse is paused: what it has replaced stays as it is, what it has not goes on serving."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sre_responder.effects.action import Action
from sre_responder.effects.effect import Change, Effect
from sre_responder.effects.kubernetes import owners
from sre_responder.effects.kubernetes.api import Api, Document, connect
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.rollout import after, insist, troubles, unless_moved, unmoved, words
from sre_responder.effects.kubernetes.workload import PAUSED, Workload, find, fingerprint, kubectl, marked
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, StateMoved


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return _identity(find(connect(arguments), arguments))


def _identity(workload: Workload) -> dict[str, Any]:
    return {"paused": bool(workload.spec.get("paused")), "template": fingerprint(workload.template)}


def _plan(arguments: Mapping[str, Any]) -> Change:
    if (kind := arguments.get("kind") or "Deployment") != "Deployment":
        raise InputError(
            f"the rollout of a {kind} cannot be paused: its controller knows no pause.",
            cure="Use kubernetes_rollback.",
        )
    api = connect(arguments)
    workload = find(api, arguments)
    before = after = _identity(workload)
    if not before["paused"]:
        if not _replaces(workload):
            raise InputError(
                f"nothing rolls out: every pod of {workload.resource} is of its newest template.",
                cure="Use kubernetes_rollback.",
            )
        predicted = api.patch(workload.resource, _operations(workload, arguments), dry_run=True)
        after = _identity(Workload(workload.kind, predicted))
    name = f"deployment/{workload.metadata['name']}"
    lifted = json.dumps({"metadata": {"annotations": {PAUSED: None}}, "spec": {"paused": None}})
    resume = kubectl(arguments, workload.metadata["namespace"], "patch", name, "--type=merge", f"--patch={lifted}")
    return Change(
        target=workload.target,
        before=before,
        after=after,
        undo=[{"name": f"Resume the rollout of {name}", **resume}],
        undo_note="Resumes the rollout where it left off, by kubectl.",
        evidence={
            "updated": _updated(workload),
            "available": f"{workload.available}/{workload.replicas}",
            "troubles": words(troubles(api, workload)),
        },
        # What rolls out is what shall be paused: only who would resume it is in the way.
        busy=owners.at_work(api, workload),
        diff={"before": f"paused: {before['paused']}\n", "after": f"paused: {after['paused']}\n"},
    )


def _replaces(workload: Workload) -> bool:
    """Whether pods of an earlier template are left, or may be: whether those of the newest are well is another matter."""
    status, updated = workload.status, workload.status.get("updatedReplicas", 0)
    behind = status.get("observedGeneration", 0) < workload.metadata["generation"]
    return bool(behind or updated < workload.replicas or status.get("replicas", 0) > updated)


def _updated(workload: Workload) -> str:
    return f"{workload.status.get('updatedReplicas', 0)}/{workload.replicas}"


def _operations(workload: Workload, arguments: Mapping[str, Any]) -> list[Document]:
    paused = f"{arguments.get('_incident') or 'planned'} {workload.metadata['generation'] + 1}"
    return [marked(workload, arguments, {PAUSED: paused}), {"op": "add", "path": "/spec/paused", "value": True}]


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _pause(api, arguments, change)


def _pause(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    def write() -> Workload:
        workload = unmoved(api, arguments, change, _identity)
        if not _replaces(workload):
            raise StateMoved(f"{workload.resource} has replaced all its pods.", cure="Use kubernetes_rollback.")
        operations = [unless_moved(workload), *_operations(workload, arguments)]
        return Workload(workload.kind, api.patch(workload.resource, operations))

    written = insist(write)
    with after(lambda: f"the rollout of {written.resource} was paused"):
        if _identity(written) != change.after:
            raise EffectFailed(f"it is not what the plan predicted: {_identity(written)}.")
        now = _seen(api, written, float(arguments.get("timeout_s", 120)))
        if _identity(now) != change.after:
            raise EffectFailed(f"someone else changed {now.resource}: {_identity(now)}.")
    return {**_identity(now), "updated": _updated(now), "available": f"{now.available}/{now.replicas}"}


def _seen(api: Api, workload: Workload, seconds: float) -> Workload:
    """The workload once its controller has seen the pause: before that it may go on rolling out."""
    for document in api.follow(workload.resource, time.monotonic() + seconds):
        now = Workload(workload.kind, document)
        if now.status.get("observedGeneration", 0) >= workload.metadata["generation"]:
            return now
    raise OutcomeUnknown(
        f"the controller has not seen the pause of {workload.resource} after {seconds:g} s, and may still roll it out.",
        cure="Look at the cluster's controller manager.",
    )


def _resumed(old: Change, now: Mapping[str, Any]) -> bool:
    """What is rolled out meanwhile, as by a rollback that lifted the pause, is another matter."""
    return bool(now["paused"] == old.before["paused"])


_ACTION = Action(
    name="kubernetes_pause_rollout",
    rung=0,
    platform="kubernetes",
    options=WorkloadOptions,
    summary="Pause a rollout on Kubernetes that makes things worse",
    description=(
        "Containment. Pauses the rollout of a Deployment in progress, so that no more pods are replaced. It "
        "stays on the contained list until it is undone.",
        "Refused where nothing rolls out, and for a StatefulSet or DaemonSet, whose controllers know no pause.",
        "A Deployment that is paused already is left as it is. One that is kept by GitOps or by an operator is "
        "refused, since they would resume it.",
        "M(sre.responder.kubernetes_rollback) lifts the pause with the release that it leaves. A pause of "
        "anybody else, and one since which anything was set, refuses it.",
    ),
    examples=(("Let the release of checkout reach no more pods", {"namespace": "shop", "name": "checkout"}),),
    undo=UNDO_BY_KUBECTL,
)
PAUSE = Effect(_ACTION, _plan, _act, _read, same_namespace, restored=_resumed)
