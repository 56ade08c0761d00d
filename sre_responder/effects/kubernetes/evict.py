"""Pods of a workload that fail, evicted: the API server asks their disruption budgets, their controller makes others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from sre_responder.effects.action import Action, option
from sre_responder.effects.effect import Became, Change, Effect
from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.lock import held
from sre_responder.effects.kubernetes.options import WorkloadOptions
from sre_responder.effects.kubernetes.place import same_namespace
from sre_responder.effects.kubernetes.pod import ready
from sre_responder.effects.kubernetes.rollout import after, because, failing, in_progress, insist, live, pods, unmoved
from sre_responder.effects.kubernetes.workload import PLAN, PLANNED, Workload, find, lost, plan_of
from sre_responder.errors import EffectFailed, InputError, NotApplicable, ResponderError, StateMoved
from sre_responder.model.names import shown
from sre_responder.model.plan import Wait

POLL_SECONDS = 0.2


def evict(api: Api, pod: Document, plan: str, *, dry_run: bool = False) -> None:
    """Ask for the eviction of this very pod, as it was read. EffectFailed with the detail `budget` where a budget holds it."""
    metadata = pod["metadata"]
    kept = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "annotations": {PLAN: plan}},
        "deleteOptions": {"preconditions": kept},
    }
    place = Resource("Pod", metadata["namespace"], metadata["name"], "eviction")
    api.call("create", place, {"dryRun": "All"} if dry_run else {}, body)


def held_by_budget(api: Api, pod: Document) -> str | None:
    """Why a disruption budget would not let the pod go now, by a dry run; None where none holds it."""
    try:
        evict(api, pod, PLANNED, dry_run=True)
    except StateMoved:  # it moved since it was read, which says nothing of budgets
        return None
    except EffectFailed as error:
        if not (budget := error.details.get("budget")):
            raise
        return f"pod {pod['metadata']['name']}: {budget}"
    return None


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All pods that the workload has: those of the plan are among them, or gone."""
    api = connect(arguments)
    return {"pods": sorted(pod["metadata"]["uid"] for pod in live(api, find(api, arguments)))}


def _chosen(api: Api, workload: Workload, arguments: Mapping[str, Any]) -> dict[str, Document]:
    """The pods that shall go, by uid: the one that is named, or all that fail."""
    running = live(api, workload)
    if name := arguments.get("pod"):
        found = [pod for pod in running if pod["metadata"]["name"] == name]
        missing = f"{workload.resource} owns no pod '{shown(name)}', or that pod is going already."
    else:
        found = _sick(workload, running)
        missing = f"no pod of {workload.resource} fails on a node: none is to be evicted."
    if not found:
        raise InputError(missing, cure="Look at its pods, and name one: pod.")
    return {pod["metadata"]["uid"]: pod for pod in found}


def _sick(workload: Workload, running: list[Document]) -> list[Document]:
    """Those that fail on a node; another in place of one that no node takes would wait as it does."""
    sick = {name for name, why in failing(workload, running).items() if why.kind != "unschedulable"}
    return [pod for pod in running if pod["metadata"]["name"] in sick]


def _identity(api: Api, arguments: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    return {"pods": sorted(_chosen(api, workload, arguments))}


def _plan(arguments: Mapping[str, Any]) -> Change:
    api = connect(arguments)
    workload = find(api, arguments)
    if not arguments.get("pod") and not _sick(workload, live(api, workload)):
        raise NotApplicable(f"no pod of {workload.resource} fails on a node: none is to be evicted.")
    chosen = _chosen(api, workload, arguments)
    sick = failing(workload, [*chosen.values()])
    told = {name: sick[name].text if name in sick else "named" for name in _names(chosen.values())}
    budgets = [why for pod in chosen.values() if (why := held_by_budget(api, pod))]
    serving = sum(map(ready, chosen.values()))
    return Change(
        target=workload.target,
        before={"pods": sorted(chosen)},
        after={"pods": []},
        undo_note="Nothing to undo: its controller makes a new pod.",
        evidence={"pods": told, "available": f"{workload.available}/{workload.replicas}"},
        busy=lock.holder(api, workload),
        # A budget says that these pods must stay now; it is told as that, and never gone around.
        wait=in_progress(api, workload) or (Wait(f"a PodDisruptionBudget: {'; '.join(budgets)}") if budgets else None),
        capacity=max(0.0, 1 - serving / max(1, workload.replicas)),
        diff={
            "before": "".join(f"{pod}: {why}\n" for pod, why in told.items()),
            "after": "".join(f"{pod}: evicted, another in its place\n" for pod in told),
        },
    )


def _names(pods: Iterable[Document]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    api = connect(arguments)
    with held(api, insist(lambda: find(api, arguments)), arguments):
        return _evict(api, arguments, change)


def _evict(api: Api, arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    seconds = float(arguments.get("timeout_s", 120))
    until = time.monotonic() + seconds
    workload = insist(partial(unmoved, api, arguments, change, partial(_identity, api, arguments)))
    known = {pod["metadata"]["uid"] for pod in pods(api, workload)}
    done: list[str] = []
    with after(lambda: f"evicted: {', '.join(done)}" if done else ""):
        for uid in change.before["pods"]:
            done.append(insist(partial(_evict_one, api, workload, arguments, uid)))
        left, new = _wait(api, workload, {*change.before["pods"]}, known, until)
        now = find(api, arguments)
        short = "" if len(new) >= len(done) else f"{len(new)} of {len(done)} replaced after {seconds:g} s"
        return {
            "pods": sorted(pod["metadata"]["uid"] for pod in left if not pod["metadata"].get("deletionTimestamp")),
            "ending": sorted(_names(left)),
            "available": f"{now.available}/{now.replicas}",
            "not_replaced": because(api, now, short),
        }


def _evict_one(api: Api, workload: Workload, arguments: Mapping[str, Any], uid: str) -> str:
    """Evict the pod, where it is still to go; gives its name. Read anew each time: kubelet writes its status all the while."""
    pod = _chosen(api, workload, arguments).get(uid)
    if pod is None:
        raise StateMoved(
            f"a pod of {workload.resource} fails no longer, or is gone.",
            cure="Run the runbook again to make a new plan.",
        )
    evict(api, pod, plan_of(arguments))
    return str(pod["metadata"]["name"])


def _wait(
    api: Api, workload: Workload, evicted: set[str], known: set[str], until: float
) -> tuple[list[Document], list[Document]]:
    """Wait until they are gone and as many new ones serve; gives those that are left, and the new ones that serve.

    The pods themselves are looked at: the workload's own status may not have seen yet that any are gone. One that goes from
    a node which is lost is waited for no longer: its controller has made another already.
    """
    while True:
        now = pods(api, workload)
        left = [pod for pod in now if pod["metadata"]["uid"] in evicted]
        new = [pod for pod in now if pod["metadata"]["uid"] not in known and ready(pod)]
        late = time.monotonic() > until
        if late or len(new) >= len(evicted):  # only then does it matter whether anybody confirms
            left = [pod for pod in left if not _on_a_lost_node(api, pod)]
            if late or not left:
                return left, new
        time.sleep(POLL_SECONDS)


def _on_a_lost_node(api: Api, pod: Document) -> bool:
    """Whether it was told to go where nobody confirms that. A node that may not be read is not called lost."""
    node = pod["spec"].get("nodeName")
    if not node or not pod["metadata"].get("deletionTimestamp"):
        return False
    try:
        return lost(api.get(Resource("Node", "", node)))
    except ResponderError:
        return False


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Pods go one by one: where some of them are gone, it was cut short."""
    left = {*old.before["pods"]} & {*now["pods"]}
    return "done" if not left else "not_done" if len(left) == len(old.before["pods"]) else "cut_short"


class _Options(WorkloadOptions):
    pod: str | None = option(
        "Name of the one pod that shall go, failing or not. Without it all pods go that fail.", default=None
    )


_ACTION = Action(
    name="kubernetes_evict",
    rung=2,
    platform="kubernetes",
    options=_Options,
    summary="Evict failing pods of a workload on Kubernetes",
    description=(
        "Evicts the pods of a Deployment, StatefulSet or DaemonSet that fail, or one by name, and waits until "
        "they are gone and as many new ones serve. Its controller makes those.",
        "The eviction API alone is used, with the pod's uid and version, so that no other pod goes and none "
        "that changed meanwhile.",
        "A PodDisruptionBudget that holds a pod is told with its words, and nothing is deleted around it.",
        "Refused where no pod fails and none is named, where the pod that is named is not the workload's own, "
        "or where the workload is rolling out without failing. A pod that no node takes is left, for another "
        "would wait as it does.",
    ),
    examples=(("Evict the failing pods of checkout", {"namespace": "shop", "name": "checkout"}),),
    undoable=False,
    undo="The controller makes a new pod.",
)
EVICT = Effect(_ACTION, _plan, _act, _read, same_namespace, _became)
