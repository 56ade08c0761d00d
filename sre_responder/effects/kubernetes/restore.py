"""One object back to how it was when its service was healthy: a Service, a policy, a quota, settings, a node, or a number of pods."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Change, Effect
from sre_responder.effects.kubernetes import gitops, healers, owners
from sre_responder.effects.kubernetes.api import KINDS, Api, Document, Resource, connect
from sre_responder.effects.kubernetes.culprits import Culprit, Scene, culprits
from sre_responder.effects.kubernetes.known_good import RESTORES, Good, difference, part_of
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_cluster, same_namespace
from sre_responder.effects.kubernetes.revisions import current, history, since
from sre_responder.effects.kubernetes.rollout import after, insist
from sre_responder.effects.kubernetes.suspects import suspects, written_by
from sre_responder.effects.kubernetes.workload import PLAN, Workload, digest, find, kubectl, plan_of
from sre_responder.errors import EffectFailed, InputError, NotApplicable, StateMoved
from sre_responder.model.known_good import KnownGood
from sre_responder.model.names import shown

ABSENT = "absent"
HIDDEN = frozenset({"ConfigMap"})
"""Kinds whose values appear in no plan and no undo: what they hold may be a password."""
REFUSING = ("ResourceQuota", "LimitRange")
"""Kinds whose refusal makes a controller wait longer after each try, up to a quarter of an hour."""


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the object that a plan has changed, which its target names; else of the one that `object` names."""
    if (place := _target(arguments) or _named(arguments)) is None:
        raise InputError("no object is named.", cure="Set object, or name the attempt that changed it.")
    document = connect(arguments).seek(place)
    return _state(place.kind, place.name, Workload(place.kind, document) if document else None)


def _state(kind: str, name: str, now: Workload | None) -> dict[str, Any]:
    return {"object": f"{kind}/{name}", "state": digest(_identity(part_of(now.document, kind))) if now else ABSENT}


def _identity(part: Document) -> Document:
    """What identifies the state; that a field is empty and that it is missing is one state."""
    return {
        name: _identity(value) if isinstance(value, dict) else value
        for name, value in part.items()
        if value not in ({}, [], None)
    }


def _target(arguments: Mapping[str, Any]) -> Resource | None:
    words = str(arguments.get("_target") or "").split(":")
    if len(words) < 3:
        return None
    kind, _, name = words[-2].partition("/")
    return Resource("Node", "", name) if kind == "node" else Resource(kind, words[1], name)


def _named(arguments: Mapping[str, Any]) -> Resource | None:
    if not (text := str(arguments.get("object") or "")):
        return None
    kind, _, name = text.partition("/")
    if kind not in RESTORES or not name:
        raise InputError(
            f"'{shown(text)}' cannot be restored.", cure=f"Use KIND/NAME, with one of {', '.join(RESTORES)}."
        )
    return Resource(kind, "" if kind == "Node" else str(arguments["namespace"]), name)


def _nothing() -> None:
    """What was captured, where there is no ledger to say."""
    return


def _culprit(api: Api, arguments: Mapping[str, Any]) -> Culprit:
    """The object to restore: the one that is named, else the first that is why the service fails. NotApplicable if there is none."""
    recall: Callable[[], KnownGood | None] = arguments.get("_known_good", _nothing)
    scene = Scene(api, find(api, arguments), recall())
    found, named = culprits(scene), _named(arguments)
    if named:
        found = [one for one in found if (one.kind, one.name) == (named.kind, named.name)]
    if found:
        return found[0]
    if named:
        raise _why_not(scene, named)
    wrong = "; ".join(map(str, suspects(api, scene.workload, since(history(api, scene.workload)))))
    raise NotApplicable(
        f"nothing that belongs to {scene.workload.resource} is known to have been different while its service was healthy"
        + (f", and can be restored. Found: {wrong}" if wrong else "")
    )


def _why_not(scene: Scene, named: Resource) -> InputError | NotApplicable:
    """Why an object that a person names is left alone."""
    document = scene.api.get(named)
    now = Workload(named.kind, {"kind": named.kind, **document})
    if (good := scene.differs(now)) is not None:
        return NotApplicable(f"{named} is not as it was ({good.source}), and is not why the service fails")
    if scene.says(now):
        return NotApplicable(f"{named} is as it was when it was good")
    return InputError(
        f"nothing says how {named} was when it was good: its service was never measured healthy, and neither"
        " `kubectl apply` nor a Helm release that may be read has it.",
        cure="Restore it by hand, then: responder kubernetes known-good SERVICE",
    )


def _plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload, one = find(api, arguments), _culprit(api, arguments)
    predicted = _write(api, one, workload, arguments, dry_run=True)
    before, after = _state(one.kind, one.name, one.now), _state(one.kind, one.name, predicted)
    owned = one.now or Workload(one.kind, one.good.document or {})
    return Change(
        target=_target_of(one, workload),
        before=before,
        after=after,
        undo=_undo(arguments, one, workload, predicted),
        undo_note=f"{one.kind} {one.name} keeps what is restored: what it held may be secret, and was not kept."
        if one.now and one.kind in HIDDEN
        else f"Sets {one.kind} {one.name} back to what it is now, by kubectl.",
        evidence={
            "object": f"{one.kind}/{one.name}",
            "why": one.why,
            "known_good": one.good.source,
            "last_written": written_by(one.now.document, one.field) if one.now else "deleted; the API server keeps no note of it",
            "warnings": [*owners.warnings(api, owned), *_warnings(one)],
        },
        busy=(healers if one.kind == "Node" else owners).at_work(api, one.now) if one.now else owners.at_work(api, workload),
        diff={"before": _shown(one.kind, one.now), "after": _shown(one.kind, predicted)},
    )  # fmt: skip


def _warnings(one: Culprit) -> list[str]:
    said = {
        "ConfigMap": "pods that have read it as environment variables keep those until they are restarted",
        "Service": "" if one.now else "it gets another cluster IP, unless it is headless",
    }
    return [word for word in (said.get(one.kind),) if word]


def _target_of(one: Culprit, workload: Workload) -> str:
    """An object by its uid, as every target is; one that was deleted by the uid of the workload that it belongs to."""
    if one.kind == "Node" and one.now:
        return f"kubernetes:node/{one.name}:{one.now.uid}"
    return (
        one.now.target
        if one.now
        else f"kubernetes:{workload.metadata['namespace']}:{one.kind}/{one.name}:of-{workload.uid}"
    )


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    chosen = {**arguments, "object": change.evidence["object"]}
    with held(api, insist(lambda: _holds(api, chosen)), arguments):
        return _restore(api, chosen, change)


def _holds(api: Api, arguments: Mapping[str, Any]) -> Workload:
    """What is locked meanwhile: the object, or the workload where the object was deleted."""
    one = _still(api, arguments)
    return one.now or find(api, arguments)


def _still(api: Api, arguments: Mapping[str, Any]) -> Culprit:
    try:
        return _culprit(api, arguments)
    except NotApplicable as error:
        raise StateMoved(error.message, cure="Run the runbook again to make a new plan.") from error


def _restore(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Write it, only where the object is as the plan saw it, and read it back."""

    def write() -> Workload:
        one, workload = _still(api, arguments), find(api, arguments)
        if _target_of(one, workload) != change.target or _state(one.kind, one.name, one.now) != change.before:
            raise StateMoved(
                f"{change.evidence['object']} has changed since it was planned.",
                cure="Run the runbook again to make a new plan.",
            )
        return _write(api, one, workload, arguments)

    written = insist(write)
    with after(lambda: f"{written.resource} was restored"):
        observed = _state(written.kind, written.metadata["name"], Workload(written.kind, api.get(written.resource)))
        if observed != change.after:
            raise EffectFailed(f"it is not what the plan predicted: {observed}.")
        if written.kind in REFUSING:
            _try_again(api, find(api, arguments), arguments)
    return observed


def _write(
    api: Api, one: Culprit, workload: Workload, arguments: Mapping[str, Any], *, dry_run: bool = False
) -> Workload:
    """The object with its fields as they were; whoever writes in between makes it a conflict."""
    mark = {PLAN: plan_of(arguments)}
    if one.now is not None:
        fields = difference(part_of(one.now.document, one.kind), one.good)
        metadata = {"annotations": mark, **({} if dry_run else {"resourceVersion": one.now.version})}
        return Workload(one.kind, api.merge(one.now.resource, {**fields, "metadata": metadata}, dry_run=dry_run))
    kept = (one.good.document or {}).get("metadata") or {}
    metadata = {**kept, "annotations": {**(kept.get("annotations") or {}), **mark}}
    version = KINDS[one.kind][0].removeprefix("apis/").removeprefix("api/")
    body = {"apiVersion": version, "kind": one.kind, "metadata": metadata, **_made(one)}
    place = Resource(one.kind, workload.metadata["namespace"], one.name)
    return Workload(one.kind, api.create(place, body, dry_run=dry_run))


def _made(one: Culprit) -> Document:
    return {name: value for name, value in one.good.part.items() if value}


def _try_again(api: Api, workload: Workload, arguments: Mapping[str, Any]) -> None:
    """Have the controller that makes the pods try now: a mark on what it watches wakes it."""
    place = workload.resource
    if workload.kind == "Deployment":
        if (now := current(workload, history(api, workload))) is None:
            return
        place = Resource("ReplicaSet", workload.metadata["namespace"], now.name)
    api.merge(place, {"metadata": {"annotations": {PLAN: plan_of(arguments)}}})


def _undo(arguments: Mapping[str, Any], one: Culprit, workload: Workload, then: Workload) -> list[Document]:
    """Back by kubectl, which every operator has; nothing where its values may be secret."""
    namespace, kind = workload.metadata["namespace"], one.kind.lower()
    if one.now is None:
        return [
            {"name": f"Delete {one.kind} {one.name} again", **kubectl(arguments, namespace, "delete", kind, one.name)}
        ]
    if one.kind in HIDDEN:
        return []
    now = part_of(one.now.document, one.kind)
    back = difference(part_of(then.document, one.kind), Good(now, ""))
    words = ("patch", kind, one.name, "--type=merge", "--patch=" + json.dumps(back))
    return [{"name": f"Set {one.kind} {one.name} back", **kubectl(arguments, namespace, *words)}]


def _shown(kind: str, now: Workload | None) -> str:
    if now is None:
        return f"{ABSENT}\n"
    part = part_of(now.document, kind)
    if kind in HIDDEN:
        part = {
            field: {name: f"(hidden, {digest(value)})" for name, value in values.items()}
            for field, values in part.items()
        }
    return yaml.safe_dump(part, sort_keys=True, width=120)


def _same(change: Change, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """A node is one for all namespaces of its cluster."""
    return (same_cluster if change.target.startswith("kubernetes:node/") else same_namespace)(change, own, other)


def _disagreement(arguments: Mapping[str, Any]) -> str | None:
    api, place = connect(arguments), _target(arguments)
    document = api.seek(place) if place else None
    return gitops.differing(api, Workload(place.kind, document)) if place and document else None


class _Options(WorkloadOptions):
    object: str | None = option(
        "The object to restore, as C(KIND/NAME). Without it, the one of the service's objects whose change is the "
        "reason for the fault.",
        default=None,
    )


_ACTION = Action(
    name="kubernetes_restore",
    rung=2,
    platform="kubernetes",
    options=_Options,
    summary="Return one object on Kubernetes to how it was when its service was healthy",
    description=(
        "Restores a Service, NetworkPolicy, ResourceQuota, LimitRange, HorizontalPodAutoscaler, ConfigMap, the number "
        "of pods of a workload, or a node that was cordoned. A Service, NetworkPolicy or ConfigMap that was deleted is created again.",
        "How it was is what Responder captured when the service was last measured healthy, at most a week ago; else "
        "what C(kubectl apply) last applied; else the deployed Helm release. If nothing says, it is refused.",
        "Not applicable where the object is as it was, or where its change is not why the service fails. A change counts "
        "if the object keeps users from the service now and would not as it was; or if the pods are in order, and the "
        "object was changed after their template was made.",
        "A NetworkPolicy, ResourceQuota or LimitRange that did not exist while the service was healthy is not deleted: "
        "the policy no longer selects these pods, the quota no longer limits.",
        "The plan shows the difference, and who changed the object and when. What Responder itself has set, as a "
        "containment, is left alone. Templates are for M(sre.responder.kubernetes_rollback); secrets are never restored.",
    ),
    examples=(
        ("Restore what was changed in front of checkout", {"namespace": "shop", "name": "checkout"}),
        ("Restore the Service of checkout", {"namespace": "shop", "name": "checkout", "object": "Service/checkout"}),
    ),
    undo=UNDO_BY_KUBECTL + " Values of a ConfigMap are not kept, so its restoring cannot be undone.",
    diff="Values of a ConfigMap are hidden.",
)
RESTORE = Effect(_ACTION, _plan, _act, _read, _same, disagreement=_disagreement)
