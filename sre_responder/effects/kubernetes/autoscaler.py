"""The HorizontalPodAutoscaler that sets a workload's count, where there is one: whoever sets the count beside it loses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import Workload, kubectl
from sre_responder.errors import InputError

KIND = "HorizontalPodAutoscaler"


def autoscalers(api: Api, workload: Workload) -> list[Document]:
    """Those whose target the workload is."""
    return [
        item
        for item in api.search(Resource(KIND, workload.metadata["namespace"]))
        if (ref := item["spec"]["scaleTargetRef"])["kind"] == workload.kind
        and ref["name"] == workload.metadata["name"]
        and str(ref.get("apiVersion", "")).startswith("apps/")
    ]


def autoscaler(api: Api, workload: Workload) -> Workload | None:
    """The one autoscaler whose target the workload is. InputError where several pull at it."""
    found = autoscalers(api, workload)
    if len(found) > 1:
        names = ", ".join(sorted(item["metadata"]["name"] for item in found))
        raise InputError(f"{len(found)} autoscalers set the count of {workload.resource}: {names}.", cure="Keep one.")
    return Workload(KIND, found[0]) if found else None


def bounds(scaler: Workload) -> dict[str, Any]:
    """What identifies an autoscaler's state."""
    least, most = int(scaler.spec.get("minReplicas", 1)), int(scaler.spec["maxReplicas"])
    return {"autoscaler": scaler.metadata["name"], "min": least, "max": most}


def set_back(arguments: Mapping[str, Any], namespace: str, known: Mapping[str, Any]) -> Document:
    """The task that gives an autoscaler the bounds that were known."""
    patch = json.dumps({"spec": {"minReplicas": known["min"], "maxReplicas": known["max"]}})
    name = f"Return autoscaler {known['autoscaler']} to {known['min']} to {known['max']} replicas"
    words = ("patch", "horizontalpodautoscaler", known["autoscaler"], "--type=merge", f"--patch={patch}")
    return {"name": name, **kubectl(arguments, namespace, *words)}


def scale_back(arguments: Mapping[str, Any], workload: Workload) -> Document:
    """The task that gives a workload the count that it has now.

    `kubectl scale` would need a right of its own, and writes past the annotation that admission asks for.
    """
    name, count = f"{workload.kind.lower()}/{workload.metadata['name']}", workload.replicas
    words = ("patch", name, "--type=merge", "--patch=" + json.dumps({"spec": {"replicas": count}}))
    return {"name": f"Return {name} to {count} replicas", **kubectl(arguments, workload.metadata["namespace"], *words)}
