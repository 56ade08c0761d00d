"""Whether what a cluster shows is a reason to return to an earlier revision, or to restart: a remediation without one is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.pod import Trouble, time_of
from sre_responder.effects.kubernetes.revisions import Revision, current, history, revision_of, since
from sre_responder.effects.kubernetes.rollout import COMPLETE, denied, failing, live
from sre_responder.effects.kubernetes.suspects import given, suspects
from sre_responder.effects.kubernetes.workload import Workload, condition, content, images, lost, rolled_out
from sre_responder.errors import ResponderError
from sre_responder.model.known_good import KnownGood

RECENT_SECONDS = 3600
"""Where nobody knows when the service was last healthy, a template that is older than this is not what changed."""
PLACED_BY = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "priorityClassName",
    "schedulerName",
    "hostNetwork",
    "runtimeClassName",
    "volumes",
)


def _pulled(template: Document) -> Any:
    return images(template), template["spec"].get("imagePullSecrets")


def _asked(template: Document) -> Any:
    """What its containers ask of a quota, and of a node."""
    spec = template["spec"]
    containers = (*(spec.get("initContainers") or ()), *spec["containers"])
    return [(one.get("resources") or {}, [p.get("hostPort") for p in one.get("ports") or ()]) for one in containers]


def _placed(template: Document) -> Any:
    return _asked(template), {name: template["spec"].get(name) for name in PLACED_BY}


TURNS_ON: Mapping[str, tuple[Callable[[Document], Any], str]] = {
    "image": (_pulled, "needs the same image"),
    "unschedulable": (_placed, "asks the same of a node"),
}
"""Troubles of a pod that only some of its template can cure, and what an earlier template says that has the same there."""


def no_ground_for_return(
    api: Api,
    workload: Workload,
    known: Sequence[Revision],
    then: Revision,
    healthy_at: Callable[[], float],
    good: Callable[[], KnownGood | None] = lambda: None,
) -> str | None:
    """Why a return to the revision `then` is no remediation for what the cluster shows; None where it may be one.

    `healthy_at` tells when the service was last known to be healthy, 0 where nobody knows; `good` how its objects were then.
    """
    if not workload.replicas:
        return "it is scaled to zero, and stays so whatever its template"
    owned = live(api, workload)
    alike = _asked(workload.template) == _asked(then.template) and then.label not in map(revision_of, owned)
    if alike and (refused := denied(api, workload)):
        return f"the API server refuses its pods: {refused}; revision {then.number} asks for the same resources"
    troubles = failing(workload, owned)
    if why := _same_where_it_matters(workload, then, troubles) or _on_lost_nodes(api, owned, troubles):
        return why
    made = since(known)
    if troubles or not rolled_out(workload):
        needed = given(api, workload, made) if came_up(workload) else []
        return _elsewhere("its pods came up with this template, and", needed) if needed else None
    well = f"its {workload.available} pods run and are ready"
    if found := suspects(api, workload, made):
        return _elsewhere(f"{well}, and", found)
    if (kept := good()) and kept.template == content(workload.template):
        return f"{well}, and what they run ran when the service was last healthy at {_shown(kept.at)}"
    if (changed := time_of(made)) and (why := _unchanged(changed.timestamp(), healthy_at())):
        return f"{well}, and nothing about its template changed since {why}; it was made at {made}"
    return None


def no_ground_for_restart(api: Api, workload: Workload) -> str | None:
    """Why a restart is no remediation: no new pod could start, or what fails has never come up and would be run again."""
    owned = live(api, workload)
    troubles = failing(workload, owned)
    for pod, trouble in troubles.items():
        if trouble.kind in TURNS_ON:
            return f"pod {pod} is {trouble}, and so would be the pods of a restart"
    newest = None if came_up(workload) else _newest_of_several(api, workload)
    mine = (pod["metadata"]["name"] for pod in owned if newest and revision_of(pod) == newest.label)
    sick = next((name for name in mine if name in troubles), None)
    if sick is None or newest is None:
        return None
    return (
        f"revision {newest.number} has never come up (pod {sick}, {troubles[sick]}), and a restart would run it again"
    )


def _newest_of_several(api: Api, workload: Workload) -> Revision | None:
    """The revision that a workload has now, where there is another to return to."""
    known = history(api, workload)
    newest = current(workload, known)
    return newest if newest and any(one.content != newest.content for one in known) else None


def came_up(workload: Workload) -> bool:
    """Whether the newest template has once been rolled out, whatever became of it since."""
    status = workload.status
    if workload.kind == "Deployment":
        return condition(workload.document, "Progressing").get("reason") == COMPLETE
    if workload.kind == "StatefulSet":
        return status.get("currentRevision") == status.get("updateRevision")
    return workload.updated >= workload.replicas


def _same_where_it_matters(workload: Workload, then: Revision, troubles: Mapping[str, Trouble]) -> str | None:
    """Where every trouble turns on some of the template, and the earlier one says the same there."""
    said = []
    for pod, trouble in troubles.items():
        read, words = TURNS_ON.get(trouble.kind, (None, ""))
        if read is None or read(workload.template) != read(then.template):
            return None
        said.append(f"pod {pod} is {trouble}, and revision {then.number} {words}")
    return said[0] if said else None


def _on_lost_nodes(api: Api, owned: Sequence[Document], troubles: Mapping[str, Trouble]) -> str | None:
    """Where every pod that fails is on a node that does not answer. A node that may not be read is not called lost."""
    nodes = {str(pod["spec"].get("nodeName", "")) for pod in owned if pod["metadata"]["name"] in troubles}
    try:
        gone = bool(nodes) and all(name and lost(api.get(Resource("Node", "", name))) for name in nodes)
    except ResponderError:
        return None
    return f"the pods that fail are on {', '.join(sorted(nodes))}, which does not answer" if gone else None


def _unchanged(changed: float, healthy_at: float) -> str:
    """Since when nothing changed; empty where something did."""
    if healthy_at:
        return f"the service was last healthy at {_shown(healthy_at)}" if changed <= healthy_at else ""
    ago = datetime.now(UTC).timestamp() - changed
    return (
        f"{RECENT_SECONDS / 60:g} minutes ago, and nobody knows when the service was last healthy"
        if ago > RECENT_SECONDS
        else ""
    )


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _elsewhere(well: str, found: Sequence[object]) -> str:
    return f"{well} the cause is elsewhere: {'; '.join(map(str, found))}"
