"""A workload back to an earlier template: the named revision, from its own history, with nothing moved in between."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import yaml

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Became, Change, Effect, by_state
from sre_responder.effects.kubernetes import gitops, owners
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.grounds import no_ground_for_return
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.pod import available, ready
from sre_responder.effects.kubernetes.references import references
from sre_responder.effects.kubernetes.revisions import LEFT, Revision, choose, current, history, revision_of
from sre_responder.effects.kubernetes.rollout import (
    after,
    because,
    delete,
    finish,
    in_progress,
    insist,
    live,
    propagated,
    release,
    serves_nothing,
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
from sre_responder.errors import EffectFailed, InputError, NotApplicable, ResponderError, StateMoved

CAUSE = "kubernetes.io/change-cause"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


POLL_SECONDS = 0.2


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    return _identity(api, find(api, arguments))


def _identity(api: Api, workload: Workload) -> dict[str, Any]:
    """The template; where no controller brings the pods to it, those that are of another one too."""
    return {**_template(workload), **({"behind": _behind(api, workload)} if workload.on_delete else {})}


def _template(workload: Workload) -> dict[str, Any]:
    return {"template": fingerprint(workload.template), "images": images(workload.template)}


def _behind(api: Api, workload: Workload) -> list[str]:
    """The pods that are not of the workload's template."""
    now = current(workload, history(api, workload))
    return _names(live(api, workload) if now is None else _not_of(api, workload, now))


def _not_of(api: Api, workload: Workload, revision: Revision) -> list[Document]:
    return [pod for pod in live(api, workload) if revision_of(pod) != revision.label]


def _names(pods: list[Document]) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in pods)


def _unknown() -> float:
    """When a service was last healthy, where nobody can be asked."""
    return 0.0


def _nothing() -> None:
    """How a service's objects were while it was healthy, where nobody can be asked."""


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
    healthy_at, good = arguments.get("_healthy_at", _unknown), arguments.get("_known_good", _nothing)
    if why := no_ground_for_return(api, workload, known, then, healthy_at, good):
        raise NotApplicable(f"to return {workload.resource} to revision {then.number} would not help: {why}.")
    if kept := _kept(api, workload, now):
        raise InputError(
            f"a rollback of {workload.resource} would leave {', '.join(kept)} on revision {now.number}: its partition"
            f" {workload.partition} keeps the pods below that number as they are.",
            cure="Set spec.updateStrategy.rollingUpdate.partition to 0, and run again.",
        )
    replaced = _names(_not_of(api, workload, then)) if workload.on_delete else []
    predicted = api.patch(workload.resource, _operations(workload, now, then, {}), dry_run=True)
    made = _template(Workload(workload.kind, predicted))
    return Change(
        target=workload.target,
        before=_identity(api, workload),
        after={**made, **({"behind": []} if workload.on_delete else {})},
        undo=_undo(arguments, workload, now),
        undo_note=f"Rolls back to revision {now.number}, by kubectl."
        + (" Its update strategy is OnDelete: pods stay as they are until you delete them." if workload.on_delete else ""),
        evidence={
            "revision": now.number, "to": then.number, "to_created": then.created,
            "available": f"{workload.available}/{workload.replicas}",
            **({"replaced": replaced} if workload.on_delete else {}),
            "warnings": [*_lifted(workload), *_moved(api, workload, then), *owners.warnings(api, workload)],
        },
        busy=owners.at_work(api, workload),
        wait=None if serves_nothing(workload) else in_progress(api, workload),
        diff={"before": _shown(workload.template), "after": _shown(predicted["spec"]["template"])},
    )  # fmt: skip


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _return(api, arguments, change)


def _return(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Write the earlier template, only where all is as the plan saw it, and see it rolled out."""

    def write() -> tuple[Workload, Workload, Revision]:
        workload = unmoved(api, arguments, change, partial(_identity, api))
        known = history(api, workload)
        now = current(workload, known)
        if now is None or _paused_by_others(workload) or _kept(api, workload, now):
            raise StateMoved(
                f"{workload.resource} has changed since it was planned.",
                cure="Run the runbook again to make a new plan.",
            )
        then = choose(workload, known, now, str(change.evidence["to"]))
        operations = [unless_moved(workload), *_operations(workload, now, then, arguments)]
        return workload, Workload(workload.kind, api.patch(workload.resource, operations)), then

    before, written, then = insist(write)
    until = time.monotonic() + float(arguments.get("timeout_s", 120))
    with after(lambda: f"{written.resource} was given the template of revision {then.number}"):
        if not _made(written, change):  # a webhook changed what was written since the dry run
            raise EffectFailed(f"it is not what the plan predicted: {_template(written)}.")
        if written.on_delete:
            _replace(api, written, then, arguments, until)
        release(api, written, arguments, then.label)
        now, why = finish(api, written, before.document, max(1.0, until - time.monotonic()))
        observed = _identity(api, now)
        if not _made(now, change):
            raise EffectFailed(f"someone else changed {now.resource} while it rolled back: {observed}.")
        if left := observed.get("behind"):
            why = f"{', '.join(left)} still of another revision: its update strategy is OnDelete, delete them by hand"
        why = because(api, now, why)
    return {**observed, "available": f"{now.available}/{now.replicas}", "not_rolled_out": why}


def _made(workload: Workload, change: Change) -> bool:
    """Whether the workload has the template that was predicted."""
    return _template(workload).items() <= change.after.items()


def _replace(api: Api, workload: Workload, then: Revision, arguments: Mapping[str, Any], until: float) -> None:
    """Delete the pods of other revisions, which an OnDelete controller leaves as they are.

    What is not ready goes at once; what serves goes one by one, each once as many as are wanted serve.
    """
    minimum = float(workload.spec.get("minReadySeconds") or 0)
    while time.monotonic() < until:
        owned = live(api, workload)
        left = [pod for pod in owned if revision_of(pod) != then.label]
        if not left:
            return
        idle = [pod for pod in left if not ready(pod)]
        serving = [pod for pod in owned if available(pod, datetime.now(UTC), minimum)]
        for pod in idle or (left[:1] if len(serving) >= workload.replicas else ()):
            delete(api, pod, arguments)
        time.sleep(POLL_SECONDS)


def _kept(api: Api, workload: Workload, now: Revision) -> list[str]:
    """The pods of the revision to be left that a StatefulSet's partition would keep on it."""
    if not workload.partition:
        return []
    below = int((workload.spec.get("ordinals") or {}).get("start") or 0) + workload.partition
    owned = [pod for pod in live(api, workload) if revision_of(pod) == now.label]
    return _names([pod for pod in owned if int(pod["metadata"]["name"].rpartition("-")[2]) < below])


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


def _shown(template: Document) -> str:
    """A template for people: values of environment variables are hidden, for they may be secrets."""
    hidden = json.loads(json.dumps(pure(template)))
    for container in (*(hidden["spec"].get("initContainers") or ()), *hidden["spec"]["containers"]):
        for entry in container.get("env") or ():
            if "value" in entry:
                entry["value"] = f"(hidden, {digest(entry['value'])})"
    return yaml.safe_dump(hidden, sort_keys=True, width=120)


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Pods that are replaced by hand go one by one: with the template written and some of them left, it was cut short."""
    cut = "behind" in now and now["template"] == old.after["template"]
    return by_state(old, now) or ("cut_short" if cut else None)


def _restored(old: Change, now: Mapping[str, Any]) -> bool:
    """The template alone: pods that were replaced stay as they are where the controller replaces none."""
    return bool(now["template"] == old.before["template"])


class _Options(WorkloadOptions):
    to: str = option(
        "V(previous) for the newest earlier revision that no rollback has left, the number of a revision, an "
        "image, or the digest of an image (C(sha256:...)).",
        default="previous",
    )


_ACTION = Action(
    name="kubernetes_rollback",
    rung=3,
    platform="kubernetes",
    options=_Options,
    summary="Return a workload on Kubernetes to an earlier revision",
    description=(
        "Sets the pod template of a Deployment, StatefulSet or DaemonSet back to that of an earlier revision "
        "of its own history, found by owner and revision, and waits until it is rolled out.",
        "The API server is asked first, by a dry run. Whatever moves between plan and act voids the plan.",
        "Refused where there is no such revision, where the workload has its template already, is paused, is "
        "rolling out without failing, or is kept by GitOps or by an operator.",
        "The memory of C(kubectl apply) is set to the restored template, so that the next apply changes what "
        "its manifest says and nothing else. Who applies on the server's side is told of a conflict, and says "
        "who wins.",
        "A pod of a StatefulSet that would never become ready is deleted, since its controller waits for it for ever.",
    ),
    examples=(("Return checkout to the revision before", {"namespace": "shop", "name": "checkout", "to": "previous"}),),
    undo=UNDO_BY_KUBECTL,
    diff="Values of environment variables are hidden.",
)
ROLLBACK = Effect(
    _ACTION,
    _plan,
    _act,
    _read,
    same_namespace,
    _became,
    _restored,
    gitops.disagreement,
    propagated=propagated,
)
