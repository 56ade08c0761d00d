"""GitOps held off one workload for a time, so that a remedy is not put back within seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Change, Effect
from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import Api, Document, connect
from sre_responder.effects.kubernetes.gitops import Keeper, Switch, keepers
from sre_responder.effects.kubernetes.options import UNDO_BY_KUBECTL, WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.rollout import after, insist
from sre_responder.effects.kubernetes.workload import PLAN, Workload, find, kubectl, plan_of
from sre_responder.errors import EffectFailed, InputError, StateMoved

HELD = "responder.sre/held"
"""Annotation of what was told to hold: for which incident, and until when."""
LONGEST_MINUTES = 24 * 60


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    api = connect(arguments)
    return _identity(_keeper(api, find(api, arguments)))


def _keeper(api: Api, workload: Workload) -> Keeper | None:
    """The one who would put the workload back, told to hold or not; None where nobody would."""
    found = [keeper for keeper in keepers(api, workload) if keeper.heals]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(map(str, found))} both keep {workload.resource}.", cure="Find out which does, and tell it."
        )
    return found[0] if found else None


def _identity(keeper: Keeper | None) -> dict[str, Any]:
    return {"keeper": str(keeper) if keeper else "nobody", "held": bool(keeper and keeper.held)}


def _plan(arguments: Mapping[str, Any]) -> Change:
    minutes, api = _minutes(arguments), connect(arguments)
    workload = find(api, arguments)
    keeper = _keeper(api, workload)
    before = _identity(keeper)
    if keeper is None or keeper.held:
        return Change(target=workload.target, before=before, after=before)
    if (switch := keeper.switch) is None:
        raise InputError(
            f"{keeper} keeps {workload.resource}, and is not in this cluster, or not the only one of that name.",
            cure="Hold it off where it is.",
        )
    api.merge(switch.place, _on(switch, arguments), dry_run=True)
    place = switch.place
    words = ("patch", switch.type, place.name, "--type=merge", "--patch", json.dumps(_off(switch)))
    return Change(
        target=_held(switch).target,
        before=before,
        after={**before, "held": True},
        undo=[{"name": f"Let {keeper} reconcile again", **kubectl(arguments, place.namespace, *words)}],
        undo_note="Lets it reconcile again, by kubectl: it then puts back what Git says, so revert it there first.",
        evidence={"minutes": minutes, "warnings": _warnings(keeper, workload)},
        busy=lock.holder(api, workload) or _syncing(keeper),
        diff={"before": f"{keeper}: reconciles\n", "after": f"{keeper}: held for {minutes} minutes\n"},
    )


def _minutes(arguments: Mapping[str, Any]) -> int:
    minutes = int(arguments.get("minutes", 60))
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise InputError(f"minutes is {minutes}.", cure=f"Use 1 to {LONGEST_MINUTES}.")
    return minutes


def _held(switch: Switch) -> Workload:
    """What is written on, which is the workload itself or what keeps it."""
    return Workload(switch.document["kind"], switch.document)


def _warnings(keeper: Keeper, workload: Workload) -> list[str]:
    said = [f"after that it puts back what Git says of {workload.resource}: revert it there before"]
    if keeper.switch and keeper.switch.place != workload.resource:
        said.append(f"nothing else of {keeper} is reconciled during that time: it can only be held off as a whole")
    return said


def _syncing(keeper: Keeper) -> str | None:
    status = (keeper.document or {}).get("status") or {}
    running = (status.get("operationState") or {}).get("phase") == "Running"
    return f"{keeper} is in the middle of a sync" if running else None


def _on(switch: Switch, arguments: Mapping[str, Any]) -> Document:
    """Only where nothing moved since it was read: the resourceVersion is a precondition of the patch."""
    until = datetime.now(UTC) + timedelta(minutes=_minutes(arguments))
    told = f"{arguments.get('_incident') or 'no incident'} until {until:%Y-%m-%dT%H:%M:%SZ}"
    marks = {**switch.annotations, HELD: told, PLAN: plan_of(arguments)}
    metadata = {"annotations": marks, "resourceVersion": switch.document["metadata"]["resourceVersion"]}
    return {"metadata": metadata, "spec": {**switch.spec}} if switch.spec else {"metadata": metadata}


def _off(switch: Switch) -> Document:
    marks = dict.fromkeys((*switch.annotations, HELD))
    spec = {"spec": dict.fromkeys(switch.spec)} if switch.spec else {}
    return {"metadata": {"annotations": marks}, **spec}


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with lock.held(api, insist(lambda: find(api, arguments)), arguments):
        insist(lambda: _write(api, arguments, change))
        with after(lambda: f"{change.after['keeper']} was told to hold"):
            now = _read(arguments)
            if now != change.after:
                raise EffectFailed(f"it is not what the plan predicted: {now}.")
    return now


def _write(api: Api, arguments: Mapping[str, Any], change: Change) -> None:
    keeper = _keeper(api, find(api, arguments))
    switch = keeper.switch if keeper else None
    if switch is None or _identity(keeper) != change.before or _held(switch).target != change.target:
        raise StateMoved(
            "who keeps the workload has changed since it was planned.", cure="Run the runbook again to make a new plan."
        )
    api.merge(switch.place, _on(switch, arguments))


class _Options(WorkloadOptions):
    minutes: int = option("For how long, at most a day.", default=60)


_ACTION = Action(
    name="kubernetes_hold",
    rung=0,
    platform="kubernetes",
    options=_Options,
    summary="Hold GitOps off a workload on Kubernetes for a while",
    description=(
        "Containment that makes room for a remedy. Tells Argo CD or Flux to leave a workload alone, which "
        "would otherwise put it back to what Git says within seconds. It stays on the contained list until it "
        "is undone, and the incident cannot be closed before.",
        "Of a Kustomization of Flux it holds this one workload, by the annotation "
        "C(kustomize.toolkit.fluxcd.io/reconcile). An Argo CD application "
        "(C(argocd.argoproj.io/skip-reconcile)) and a HelmRelease (C(suspend)) can only be held as a whole, "
        "which the plan says.",
        "After O(minutes) its time is over. C(responder undo --due), which belongs into a timer, then undoes "
        "it without another approval; so does the next run for another service. GitOps puts back what Git "
        "says, so revert it there before.",
        "Not taken where the service is healthy, where nobody keeps the workload, where it is held already, "
        "and where C(gitops) of the policy is V(refuse), which is its default.",
    ),
    examples=(
        (
            "Let nobody put the workload of checkout back while it is healed",
            {"namespace": "shop", "name": "checkout", "minutes": 30},
        ),
    ),
    undo=UNDO_BY_KUBECTL,
    minutes="minutes",
)
HOLD = Effect(_ACTION, _plan, _act, _read, same_namespace)
