"""A workload back to an earlier template: the named revision, from its own history, with nothing moved in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from sre_responder.effects.effect import Change, Effect
from sre_responder.effects.kubernetes import gitops, owners
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.revisions import LEFT, Revision, choose, current, history
from sre_responder.effects.kubernetes.rollout import (
    because,
    finish,
    in_progress,
    insist,
    release,
    unless_moved,
    unmoved,
)
from sre_responder.effects.kubernetes.workload import (
    PAUSED,
    PLAN,
    Workload,
    digest,
    find,
    fingerprint,
    images,
    kubectl,
    paused_for,
    plan_of,
    pure,
)
from sre_responder.errors import EffectFailed, InputError, ResponderError, StateMoved

CAUSE = "kubernetes.io/change-cause"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return _identity(find(connect(arguments), arguments))


def _identity(workload: Workload) -> dict[str, Any]:
    return {"template": fingerprint(workload.template), "images": images(workload.template)}


def _plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload = find(api, arguments)
    if _paused_by_others(workload):
        raise InputError(
            f"{workload.resource} is paused: a rollback of it would not roll out.", cure="`kubectl rollout resume` it."
        )
    known = history(api, workload)
    now = current(workload, known)
    if now is None:
        raise InputError(
            f"the template of {workload.resource} is in none of its revisions; its controller is behind, or stopped.",
            cure="Wait until it has rolled out what it was given.",
        )
    then = choose(workload, known, now, str(arguments["to"]))
    predicted = api.patch(workload.resource, _operations(workload, now, then, {}), dry_run=True)
    after = _identity(Workload(workload.kind, predicted))
    return Change(
        target=workload.target,
        before=_identity(workload),
        after=after,
        undo=_undo(arguments, workload, now),
        undo_note=f"Rolls back to revision {now.number}, by kubectl.",
        evidence={
            "revision": now.number, "to": then.number, "to_created": then.created,
            "available": f"{workload.available}/{workload.replicas}",
            "warnings": [*_lifted(workload), *_moved(api, workload, then), *owners.warnings(api, workload)],
        },
        # A rollout that Responder paused goes nowhere: it is what shall be left.
        busy=owners.at_work(api, workload) or (None if workload.spec.get("paused") else in_progress(api, workload)),
        diff={"before": _shown(workload.template), "after": _shown(predicted["spec"]["template"])},
    )  # fmt: skip


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _return(api, arguments, change)


def _return(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Write the earlier template, only where all is as the plan saw it, and see it rolled out."""

    def write() -> tuple[Workload, Workload]:
        workload = unmoved(api, arguments, change, _identity)
        known = history(api, workload)
        now = current(workload, known)
        if now is None or _paused_by_others(workload):
            raise StateMoved(f"{workload.resource} is no longer as the plan saw it.", cure="Run again for a new plan.")
        then = choose(workload, known, now, str(change.evidence["to"]))
        operations = [unless_moved(workload), *_operations(workload, now, then, arguments)]
        return workload, Workload(workload.kind, api.patch(workload.resource, operations))

    before, written = insist(write)
    if _identity(written) != change.after:  # a webhook changed what was written since the dry run
        raise EffectFailed(f"{written.resource} was written, and is not what the plan predicted: {_identity(written)}.")
    release(api, written, arguments)
    now, why = finish(api, written, before.document, float(arguments.get("timeout_s", 120)))
    if _identity(now) != change.after:
        raise EffectFailed(f"someone else changed {now.resource} while it rolled back: {_identity(now)}.")
    return {**_identity(now), "available": f"{now.available}/{now.replicas}", "not_rolled_out": because(api, now, why)}


def _operations(workload: Workload, now: Revision, then: Revision, arguments: Mapping[str, Any]) -> list[Document]:
    template, annotations = pure(then.template), workload.annotations
    incident, plan = arguments.get("_incident", ""), arguments.get("_plan", "")
    annotations[CAUSE] = f"{incident}: rollback to revision {then.number} by Responder, plan {plan[:12]}"
    annotations[PLAN] = plan_of(arguments)
    annotations[LEFT] = " ".join(dict.fromkeys([*annotations.get(LEFT, "").split()[-9:], now.content]))
    if applied := annotations.get(APPLIED):
        annotations[APPLIED] = _applied(applied, template)
    annotations.pop(PAUSED, None)
    return [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
        *([{"op": "remove", "path": "/spec/paused"}] if workload.spec.get("paused") else []),
    ]


def _paused_by_others(workload: Workload) -> bool:
    return bool(workload.spec.get("paused")) and not paused_for(workload)


def _lifted(workload: Workload) -> list[str]:
    incident = paused_for(workload)
    return [f"lifts the pause of {incident}"] if incident else []


def _applied(text: str, template: Document) -> str:
    """What kubectl remembers of its last apply, with the template as it is now: else the next `kubectl apply` would leave
    what only the restored template has, and mix the two."""
    try:
        applied = json.loads(text)
        applied["spec"]["template"] = template
    except (ValueError, TypeError, KeyError):
        return text
    return json.dumps(applied, separators=(",", ":")) + "\n"


def _undo(arguments: Mapping[str, Any], workload: Workload, now: Revision) -> list[dict[str, Any]]:
    """Back by kubectl, which every operator has: no template, and so no secret in it, stands in the capsule."""
    name, namespace = f"{workload.kind.lower()}/{workload.metadata['name']}", workload.metadata["namespace"]
    back = kubectl(arguments, namespace, "rollout", "undo", name, f"--to-revision={now.number}")
    tasks = [{"name": f"Return {name} to revision {now.number}", **back}]
    if workload.kind == "Deployment":
        # kubectl gives it the annotations of that revision, and admission lets Responder's account write none without a plan.
        mark = hashlib.sha256(f"undo {workload.target} {now.fingerprint}".encode()).hexdigest()
        words = ("annotate", f"replicaset/{now.name}", f"{PLAN}={mark}", "--overwrite")
        tasks.insert(0, {"name": f"Mark revision {now.number} as planned", **kubectl(arguments, namespace, *words)})
    return tasks


def _moved(api: Api, workload: Workload, then: Revision) -> list[str]:
    """ConfigMaps and secrets that the earlier template needs, and that are gone, were changed since, or cannot be looked at.

    Of a secret nothing but its metadata is asked for.
    """
    said, namespace = [], workload.metadata["namespace"]
    for kind, name in sorted(references(then.template)):
        try:
            metadata = api.metadata(Resource(kind, namespace, name))["metadata"]
        except InputError:
            said.append(f"{kind} {name}, which revision {then.number} needs, does not exist")
            continue
        except ResponderError as error:
            said.append(f"{kind} {name}, which revision {then.number} needs, could not be looked at: {error.message}")
            continue
        times = [entry.get("time", "") for entry in metadata.get("managedFields") or ()]
        changed = max([metadata["creationTimestamp"], *times])
        if changed > then.created:
            said.append(f"{kind} {name} was changed at {changed}, after revision {then.number} was made")
    return said


def references(template: Document) -> set[tuple[str, str]]:
    """The ConfigMaps and secrets without which a pod of this template does not start."""
    spec, found = template["spec"], set()
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for entry in container.get("envFrom") or ():
            found |= {_reference(entry, "configMapRef", "ConfigMap"), _reference(entry, "secretRef", "Secret")}
        for entry in container.get("env") or ():
            source = entry.get("valueFrom") or {}
            found |= {_reference(source, "configMapKeyRef", "ConfigMap"), _reference(source, "secretKeyRef", "Secret")}
    for volume in spec.get("volumes") or ():
        secret = volume.get("secret") or {}
        found |= {_reference(volume, "configMap", "ConfigMap")}
        if secret.get("secretName") and not secret.get("optional"):
            found.add(("Secret", str(secret["secretName"])))
    found |= {("Secret", str(entry["name"])) for entry in spec.get("imagePullSecrets") or ()}
    return {reference for reference in found if reference is not None}


def _reference(source: Mapping[str, Any], field: str, kind: str) -> tuple[str, str] | None:
    entry = source.get(field) or {}
    return (kind, str(entry["name"])) if entry.get("name") and not entry.get("optional") else None


def _shown(template: Document) -> str:
    """A template for people: values of environment variables are hidden, for they may be secrets."""
    hidden = json.loads(json.dumps(pure(template)))
    for container in (*(hidden["spec"].get("initContainers") or ()), *hidden["spec"]["containers"]):
        for entry in container.get("env") or ():
            if "value" in entry:
                entry["value"] = f"(hidden, {digest(entry['value'])})"
    return yaml.safe_dump(hidden, sort_keys=True, width=120)


ROLLBACK = Effect(_plan, _act, _read, disagreement=gitops.disagreement)
