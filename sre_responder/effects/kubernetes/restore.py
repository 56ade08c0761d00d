"""One object back to what its team last applied: a Service, a policy, a quota, settings, or a workload's number of pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

from sre_responder.effects.effect import Change
from sre_responder.effects.kubernetes import owners
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.rollback import APPLIED
from sre_responder.effects.kubernetes.rollout import after, insist
from sre_responder.effects.kubernetes.suspects import written_by
from sre_responder.effects.kubernetes.workload import PLAN, Workload, digest, kubectl, plan_of
from sre_responder.errors import EffectFailed, InputError, NotApplicable, StateMoved

RESTORES: Mapping[str, tuple[str, ...]] = {
    "Service": ("spec",),
    "NetworkPolicy": ("spec",),
    "ResourceQuota": ("spec",),
    "HorizontalPodAutoscaler": ("spec",),
    "ConfigMap": ("data", "binaryData"),
    "Deployment": ("spec.replicas",),
    "StatefulSet": ("spec.replicas",),
}
"""What of each kind is restored. Templates are for kubernetes_rollback, which knows their history; a Secret is nobody's to read."""
HIDDEN = frozenset({"ConfigMap"})
"""Kinds whose values appear in no plan and no undo: what stands there may be a password."""


def read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return _identity(_found(connect(arguments), arguments))


def plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    now = _found(api, arguments)
    good = _good(now)
    difference = _difference(now, good)
    if not difference:
        raise NotApplicable(f"{now.resource} is as it was last applied.")
    predicted = Workload(now.kind, api.merge(now.resource, _marked(difference, arguments), dry_run=True))
    return Change(
        target=now.target,
        before=_identity(now),
        after=_identity(predicted),
        undo=_undo(arguments, now, predicted),
        undo_note="Sets the fields back to what they are now, by kubectl."
        if now.kind not in HIDDEN
        else "Nothing is kept to undo it with: its values may be secrets.",
        evidence={
            "last_written": written_by(now.document),
            "source": APPLIED,
            "warnings": owners.warnings(api, now),
        },
        busy=owners.at_work(api, now),
        diff={"before": _shown(now), "after": _shown(predicted)},
    )


def act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(partial(_found, api, arguments)), arguments):
        return _restore(api, arguments, change)


def _restore(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Write it, only where the object is as the plan saw it, and read it back."""

    def write() -> Workload:
        now = _found(api, arguments)
        if now.target != change.target or _identity(now) != change.before:
            raise StateMoved(
                f"{now.resource} has changed since it was planned.", cure="Run the runbook again to make a new plan."
            )
        fields = _marked(_difference(now, _good(now)), arguments)
        fields["metadata"]["resourceVersion"] = now.version  # whoever writes in between makes this a conflict
        return Workload(now.kind, api.merge(now.resource, fields))

    written = insist(write)
    with after(lambda: f"{written.resource} was restored"):
        observed = _identity(_found(api, arguments))
        if observed != change.after:
            raise EffectFailed(f"it is not what the plan predicted: {observed}.")
    return observed


def _found(api: Api, arguments: Mapping[str, Any]) -> Workload:
    kind = str(arguments["kind"])
    if kind not in RESTORES:
        raise InputError(f"'{kind}' is not restored.", cure=f"Restored are: {', '.join(RESTORES)}.")
    return Workload(kind, api.get(Resource(kind, str(arguments["namespace"]), str(arguments["name"]))))


def _good(now: Workload) -> Document:
    """What its team last applied. InputError where nothing tells."""
    try:
        applied = json.loads(now.annotations[APPLIED])
    except KeyError:
        raise InputError(
            f"nothing tells how {now.resource} was when it was good: it was never applied by `kubectl apply`.",
            cure="Restore it by hand.",
        ) from None
    except ValueError as error:
        raise InputError(
            f"the annotation {APPLIED} of {now.resource} is not JSON.", cure="Restore it by hand."
        ) from error
    if not isinstance(applied, dict) or not _part(applied, now.kind):
        raise InputError(
            f"what was last applied of {now.resource} does not say {' or '.join(RESTORES[now.kind])}.",
            cure="Restore it by hand.",
        )
    return applied


def _part(document: Document, kind: str) -> Document:
    """What of an object is restored, as a document of these fields alone."""
    part: Document = {}
    for path in RESTORES[kind]:
        outer, _, inner = path.partition(".")
        if outer in document and (not inner or inner in document[outer]):
            part[outer] = {inner: document[outer][inner]} if inner else document[outer]
    return part


def _difference(now: Workload, good: Document) -> Document:
    """The merge patch that makes an object what was applied; empty where it is that already."""
    return _merge(_part(now.document, now.kind), _part(good, now.kind))


def _merge(now: Document, good: Document) -> Document:
    """Fields that differ. What the API server filled in stays; a map of words, as a selector is, holds what was applied and no more."""
    patch: Document = {}
    for name, value in good.items():
        old = now.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _merge(old, value):
                patch[name] = inner
        elif not _within(value, old):
            patch[name] = value
    words = bool(good) and all(isinstance(value, str) for value in good.values())
    return {**patch, **(dict.fromkeys(now.keys() - good.keys()) if words else {})}


def _within(good: Any, now: Any) -> bool:
    """Whether a value is as it was applied, defaults that the API server filled in left aside."""
    if isinstance(good, dict) and isinstance(now, dict):
        return all(_within(value, now.get(name)) for name, value in good.items())
    if isinstance(good, list) and isinstance(now, list):
        return len(good) == len(now) and all(map(_within, good, now))
    return bool(good == now)


def _marked(fields: Document, arguments: Mapping[str, Any]) -> Document:
    return {**fields, "metadata": {"annotations": {PLAN: plan_of(arguments)}}}


def _identity(now: Workload) -> dict[str, Any]:
    return {"object": digest(_part(now.document, now.kind))}


def _undo(arguments: Mapping[str, Any], now: Workload, then: Workload) -> list[dict[str, Any]]:
    """Back by kubectl, which every operator has; nothing where its values may be secrets."""
    if now.kind in HIDDEN:
        return []
    back = _merge(_part(then.document, now.kind), _part(now.document, now.kind))
    mark = {"metadata": {"annotations": {PLAN: digest(f"undo {now.target}")}}}
    words = ("patch", now.kind.lower(), now.metadata["name"], "--type=merge", "-p", json.dumps({**back, **mark}))
    name = f"Set {now.kind} {now.metadata['name']} back"
    return [{"name": name, **kubectl(arguments, now.metadata["namespace"], *words)}]


def _shown(now: Workload) -> str:
    part = _part(now.document, now.kind)
    if now.kind in HIDDEN:
        part = {
            field: {name: f"(hidden, {digest(value)})" for name, value in values.items()}
            for field, values in part.items()
        }
    return yaml.safe_dump(part, sort_keys=True, width=120)
