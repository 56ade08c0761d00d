"""What a person would look at first of a workload: rollout, revisions, pods, events, limits. Read-only; secrets are never read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sre_responder.effects.kubernetes import owners
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.autoscaler import autoscalers
from sre_responder.effects.kubernetes.known_good import changes
from sre_responder.effects.kubernetes.pod import counts, ready
from sre_responder.effects.kubernetes.revisions import current, history, since
from sre_responder.effects.kubernetes.rollout import denied, failing, pods, words
from sre_responder.effects.kubernetes.suspects import suspects
from sre_responder.effects.kubernetes.workload import Workload, find, images, rolled_out, seen, selects
from sre_responder.errors import ResponderError
from sre_responder.model.known_good import KnownGood
from sre_responder.model.names import shown

EVENTS = 10
"""How many events are told: warnings first, the most frequent first."""


def diagnose(arguments: Mapping[str, Any], known: KnownGood | None = None) -> dict[str, Any]:
    """One part a question; a part that may not be read, or cannot be, says why in its place.

    `known` is how the service's objects were when it was last healthy: what changed since is told.
    """
    api = connect(arguments)
    workload = find(api, arguments)
    owned = pods(api, workload)
    parts: dict[str, Callable[[], Any]] = {
        "findings": lambda: _findings(api, workload, owned),
        "rollout": lambda: _rollout(api, workload),
        "revisions": lambda: _revisions(api, workload),
        "pods": lambda: _pods(workload, owned),
        "events": lambda: _events(api, workload, owned),
        "disruption_budgets": lambda: _covering(api, "PodDisruptionBudget", workload, _budget),
        "autoscalers": lambda: _autoscalers(api, workload),
        "quotas": lambda: _quotas(api, workload),
        "services": lambda: _services(api, workload),
        "nodes": lambda: _nodes(api, owned),
        "others": lambda: {"at_work": owners.at_work(api, workload), "warnings": owners.warnings(api, workload)},
    }
    found: dict[str, Any] = {"workload": str(workload.resource)}
    for name, part in parts.items():
        try:
            found[name] = part()
        except ResponderError as error:
            found[name] = {"unknown": str(error)}
    if known:
        found["changed_since_healthy"] = told = changes(arguments, known)
        said = str(found["findings"])
        if isinstance(found["findings"], list):  # what is wrong by itself is told already
            found["findings"] += [one for one in told if " ".join(one.split()[:2]) not in said]
    return found


def _findings(api: Api, workload: Workload, owned: list[Document]) -> list[str]:
    """What is wrong, in words: with each pod that fails, and with what belongs to the workload."""
    found = [f"pod {pod}: {why}" for pod, why in words(failing(workload, owned)).items()]
    try:
        return [*found, *map(str, suspects(api, workload, since(history(api, workload))))]
    except ResponderError as error:
        return [*found, f"what belongs to {workload.resource} could not be looked at: {error.message}"]


def _rollout(api: Api, workload: Workload) -> dict[str, Any]:
    return {
        "rolled_out": rolled_out(workload),
        "paused": bool(workload.spec.get("paused")),
        "desired": workload.replicas,
        "available": workload.available,
        "updated": workload.updated,
        "refused": denied(api, workload),
        "observed": seen(workload),
        "conditions": {
            entry["type"]: f"{entry['status']} {entry.get('reason', '')}".strip()
            for entry in workload.status.get("conditions") or ()
        },
    }


def _revisions(api: Api, workload: Workload) -> list[dict[str, Any]]:
    known = history(api, workload)
    now = current(workload, known)
    return [
        {"revision": one.number, "made": one.created, "images": images(one.template), "current": one is now}
        for one in reversed(known)
    ]


def _pods(workload: Workload, owned: list[Document]) -> dict[str, Any]:
    serving = [pod for pod in owned if counts(pod)]
    containers = [c for pod in serving for c in (pod.get("status") or {}).get("containerStatuses") or ()]
    ends = [(c.get("lastState") or {}).get("terminated") or {} for c in containers]
    return {
        "count": len(owned),
        "phases": dict(Counter((pod.get("status") or {}).get("phase", "Unknown") for pod in owned)),
        "ready": sum(map(ready, serving)),
        "restarts": sum(container.get("restartCount", 0) for container in containers),
        "ended": dict(Counter(f"{end['reason']} {end['exitCode']}" for end in ends if end.get("reason"))),
        "troubled": words(failing(workload, owned)),
    }


def _events(api: Api, workload: Workload, owned: list[Document]) -> list[str]:
    """The events of the workload and of its pods, ranked: a warning before the ordinary, the frequent before the rare."""
    uids = {workload.uid, *(pod["metadata"]["uid"] for pod in owned)}
    counted: Counter[tuple[bool, str, str]] = Counter()
    for event in api.search(Resource("Event", workload.metadata["namespace"])):
        if event["involvedObject"].get("uid") in uids:
            series = (event.get("series") or {}).get("count") or event.get("count") or 1
            counted[event["type"] == "Warning", event["reason"], event.get("message", "")[:200]] += series
    ranked = sorted(counted.items(), key=lambda item: (not item[0][0], -item[1], item[0][1:]))
    return [shown(f"{count} x {reason}: {message}", 300) for (_, reason, message), count in ranked[:EVENTS]]


def _covering(api: Api, kind: str, workload: Workload, tell: Callable[[Document], Any]) -> dict[str, Any]:
    """What of a kind covers the workload's pods by its selector: a budget's empty one covers all, a service's nothing."""
    labels = (workload.template.get("metadata") or {}).get("labels") or {}
    found = {}
    for item in api.search(Resource(kind, workload.metadata["namespace"])):
        selector = item["spec"].get("selector")
        if kind == "Service":
            selector = {"matchLabels": selector} if selector else None
        if selector is not None and selects(selector, labels):
            found[item["metadata"]["name"]] = tell(item)
    return found


def _budget(item: Document) -> dict[str, Any]:
    status = item.get("status") or {}
    return {"allowed_disruptions": status.get("disruptionsAllowed", 0), "healthy": status.get("currentHealthy", 0),
            "needed": status.get("desiredHealthy", 0)}  # fmt: skip


def _autoscalers(api: Api, workload: Workload) -> dict[str, Any]:
    return {
        item["metadata"]["name"]: {
            "min": item["spec"].get("minReplicas", 1),
            "max": item["spec"]["maxReplicas"],
            "wants": (item.get("status") or {}).get("desiredReplicas"),
        }
        for item in autoscalers(api, workload)
    }


def _quotas(api: Api, workload: Workload) -> dict[str, Any]:
    """What is used of what the namespace may use, as the cluster counts."""
    found = {}
    for item in api.search(Resource("ResourceQuota", workload.metadata["namespace"])):
        status = item.get("status") or {}
        used = status.get("used") or {}
        found[item["metadata"]["name"]] = {
            name: f"{used.get(name, '?')} of {hard}" for name, hard in (status.get("hard") or {}).items()
        }
    return found


def _services(api: Api, workload: Workload) -> dict[str, Any]:
    """The services in front of the pods, each with how many addresses serve."""
    namespace, ready = workload.metadata["namespace"], Counter[str]()
    for piece in api.search(Resource("EndpointSlice", namespace)):
        service = (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        ready[service] += sum(
            (one.get("conditions") or {}).get("ready") is True for one in piece.get("endpoints") or ()
        )
    found = _covering(api, "Service", workload, lambda item: item["metadata"]["name"])
    return {name: {"ready_addresses": ready[name]} for name in found}


def _nodes(api: Api, owned: list[Document]) -> dict[str, Any]:
    """The nodes that its pods are on, each with what is wrong with it; an empty list is a good sign."""
    used = {pod["spec"]["nodeName"] for pod in owned if pod["spec"].get("nodeName")}
    return {
        node["metadata"]["name"]: [
            f"{entry['type']} {entry['status']}"
            for entry in node["status"].get("conditions") or ()
            if entry["status"] != ("True" if entry["type"] == "Ready" else "False")
        ]
        + (["cordoned"] if node["spec"].get("unschedulable") else [])
        for node in api.search(Resource("Node", ""))
        if node["metadata"]["name"] in used
    }
