"""Everything that a cluster holds, as it was told to be, and what changed between two looks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from support.control_plane import Cluster

Document = dict[str, Any]
Snapshot = Mapping[str, Document]
MADE_BY_CONTROLLERS = frozenset({"Event", "Endpoints", "EndpointSlice", "ControllerRevision", "IPAddress"})
HISTORY = (
    "responder.sre/",
    "kubernetes.io/change-cause",
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied",
)
"""Annotations that say who changed an object, and not what it is."""


def take(cluster: Cluster) -> Snapshot:
    """Every object of every kind in every namespace, by kind, namespace and name: all of it but its status and its history."""
    kinds = ",".join(cluster.kubectl("api-resources", "--verbs=list,get", "-o", "name").split())
    found = json.loads(cluster.kubectl("get", kinds, "--all-namespaces", "-o", "json"))["items"]
    return {_name(one): _told(one) for one in found if not _derived(one)}


def differences(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """Each object that is not as it was, and in which way."""
    both = before.keys() & after.keys()
    return {
        **dict.fromkeys(before.keys() - after.keys(), "deleted"),
        **dict.fromkeys(after.keys() - before.keys(), "made"),
        **{name: f"changed {_places(before[name], after[name])}" for name in both if before[name] != after[name]},
    }


def _places(old: Document, new: Document) -> str:
    return ", ".join(sorted(place for place in old.keys() | new.keys() if old.get(place) != new.get(place)))


def _name(one: Document) -> str:
    metadata = one["metadata"]
    return f"{one['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def _derived(one: Document) -> bool:
    """Whether a controller makes it from something else that is looked at, or a component writes it as it lives."""
    metadata = one["metadata"]
    owned = any(owner.get("controller") for owner in metadata.get("ownerReferences") or ())
    beat = one["kind"] == "Lease" and metadata["namespace"] in ("kube-node-lease", "kube-system")
    return owned or beat or one["kind"] in MADE_BY_CONTROLLERS or "deletionTimestamp" in metadata


def _told(one: Document) -> Document:
    """What somebody wanted of it, each field of the spec by its own name: neither status nor version nor who wrote it."""
    metadata, besides = one["metadata"], ("metadata", "status", "spec", "apiVersion", "kind")
    annotations = metadata.get("annotations") or {}
    return {
        **{name: value for name, value in one.items() if name not in besides},
        **{f"spec.{name}": value for name, value in (one.get("spec") or {}).items()},
        "labels": metadata.get("labels") or {},
        "annotations": {name: value for name, value in annotations.items() if not name.startswith(HISTORY)},
    }
