"""What of a service's objects can be restored, and how each was when it was good: captured, last applied, or as its Helm release says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sre_responder.effects.kubernetes import helm
from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.autoscaler import autoscalers
from sre_responder.effects.kubernetes.front import labels_of, services
from sre_responder.effects.kubernetes.references import references
from sre_responder.effects.kubernetes.rollback import APPLIED
from sre_responder.effects.kubernetes.rollout import live
from sre_responder.effects.kubernetes.suspects import written_by
from sre_responder.effects.kubernetes.workload import Workload, content, find, selects
from sre_responder.errors import ResponderError
from sre_responder.model.known_good import KnownGood

RESTORES: Mapping[str, tuple[str, ...]] = {
    "Service": ("spec",),
    "NetworkPolicy": ("spec",),
    "ResourceQuota": ("spec",),
    "LimitRange": ("spec",),
    "HorizontalPodAutoscaler": ("spec",),
    "ConfigMap": ("data", "binaryData"),
    "Deployment": ("spec.replicas",),
    "StatefulSet": ("spec.replicas",),
    "Node": ("spec.unschedulable",),
}
"""The fields of each kind that are restored. A template is for kubernetes_rollback, which knows its history; a Secret is never read."""
ALLOCATED = ("clusterIP", "clusterIPs", "healthCheckNodePort")
"""Fields of a Service that the API server chooses, unless it is headless."""
LARGEST = 256 * 1024
"""An object with more characters than this is not remembered: the ledger is no store of files."""
STALE_SECONDS = 7 * 24 * 3600
"""After a week without a healthy measurement, what was remembered says nothing of how an object should be now."""


@dataclass(frozen=True)
class Good:
    """How one object was, and who says so."""

    part: Document
    """Only the fields that are restored."""
    source: str
    whole: bool = True
    """Whether the object had nothing else in these fields; what was applied leaves out what the API server fills in."""
    document: Document | None = None
    """From which it is created if it was deleted."""


def part_of(document: Mapping[str, Any], kind: str) -> Document:
    """What of an object is restored, as a document of these fields alone."""
    part: Document = {}
    for path in RESTORES[kind]:
        outer, _, inner = path.partition(".")
        values = document.get(outer) or {}
        if kind == "Node":
            part[outer] = {inner: bool(values.get(inner))}  # not cordoned is no field at all
        elif inner and values.get(inner) is not None:
            part[outer] = {inner: values[inner]}
        elif values and not inner:
            chosen = ALLOCATED if kind == "Service" and values.get("clusterIP") != "None" else ()
            part[outer] = {name: value for name, value in values.items() if name not in chosen}
    return part


def capture(arguments: Mapping[str, Any]) -> KnownGood:
    """How everything that belongs to a service is now. A kind that may not be read is left out, and counts as not looked at."""
    api = connect(arguments)
    workload = find(api, arguments)
    objects: dict[str, Document] = {}
    looked = set()
    for kind, read in _BELONGS.items():
        with suppress(ResponderError):
            found = list(read(api, workload))
            looked.add(kind)
            objects |= {f"{kind}/{one['metadata']['name']}": _kept(one, kind) for one in found}
    small = {name: one for name, one in objects.items() if len(json.dumps(one)) <= LARGEST}
    return KnownGood(small, frozenset(looked), content(workload.template))


def _kept(document: Document, kind: str) -> Document:
    """What is remembered of an object: of a Secret that it was there, and its version, for its content is never read."""
    metadata = document["metadata"]
    if kind == "Secret":
        return {"metadata": {name: metadata[name] for name in ("name", "uid", "resourceVersion")}}
    kept = {name: metadata[name] for name in ("name", "labels", "annotations") if name in metadata}
    return {"metadata": kept, **part_of(document, kind)}


def _policies(api: Api, workload: Workload) -> Iterator[Document]:
    for policy in api.search(Resource("NetworkPolicy", workload.metadata["namespace"])):
        if selects(policy["spec"].get("podSelector") or {}, labels_of(workload)):
            yield policy


def _all(kind: str) -> Callable[[Api, Workload], list[Document]]:
    return lambda api, workload: api.search(Resource(kind, workload.metadata["namespace"]))


def _referred(kind: str) -> Callable[[Api, Workload], Iterator[Document]]:
    """What the pods are given; of a Secret only its metadata is asked for."""

    def read(api: Api, workload: Workload) -> Iterator[Document]:
        ask = api.metadata if kind == "Secret" else api.get
        for its, name in sorted(references(workload.template)):
            if its == kind:
                yield ask(Resource(kind, workload.metadata["namespace"], name))

    return read


def _nodes(api: Api, workload: Workload) -> Iterator[Document]:
    for name in sorted({pod["spec"]["nodeName"] for pod in live(api, workload) if pod["spec"].get("nodeName")}):
        yield api.get(Resource("Node", "", name))


def _itself(kind: str) -> Callable[[Api, Workload], list[Document]]:
    return lambda api, workload: [workload.document] if workload.kind == kind else []


_BELONGS: Mapping[str, Callable[[Api, Workload], Sequence[Document] | Iterator[Document]]] = {
    "Service": services,
    "NetworkPolicy": _policies,
    "ResourceQuota": _all("ResourceQuota"),
    "LimitRange": _all("LimitRange"),
    "HorizontalPodAutoscaler": autoscalers,
    "ConfigMap": _referred("ConfigMap"),
    "Secret": _referred("Secret"),
    "Deployment": _itself("Deployment"),
    "StatefulSet": _itself("StatefulSet"),
    "Node": _nodes,
}


def good_of(api: Api, now: Workload, known: KnownGood | None) -> Good | None:
    """How an object that exists was when it was good; None where nothing says."""
    kind, name = now.kind, now.metadata["name"]
    if known := fresh(known):
        if (kept := known.objects.get(f"{kind}/{name}")) is not None:
            return Good(part_of(kept, kind), remembered(known))
        if kind in ("NetworkPolicy", "ResourceQuota", "LimitRange") and kind in known.looked:
            return Good(_without_effect(now), f"{remembered(known)}, when it did not exist")
    if applied := _applied(now):
        return Good(applied, APPLIED, whole=False)
    if released := helm.manifest(api, now):
        return Good(part_of(released, kind), "Helm release", whole=False)
    return None


def _without_effect(now: Workload) -> Document:
    """The object as if it did not exist, without deleting what somebody made."""
    empty: Mapping[str, Document] = {"ResourceQuota": {"hard": {}}, "LimitRange": {"limits": []}}
    return {"spec": {**now.spec, **empty.get(now.kind, {})}}


def fresh(known: KnownGood | None) -> KnownGood | None:
    """What was remembered, unless that is too long ago."""
    now = datetime.now(UTC).timestamp()
    return known if known and now - known.at < STALE_SECONDS else None


def remembered(known: KnownGood) -> str:
    return f"captured while healthy at {datetime.fromtimestamp(known.at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _applied(now: Workload) -> Document:
    """What its team last applied with kubectl; empty where it did not, or where that says nothing of what is restored."""
    try:
        applied = json.loads(now.annotations.get(APPLIED, "{}"))
        return part_of(applied, now.kind)
    except (ValueError, AttributeError, TypeError):
        return {}


def difference(now: Document, good: Good) -> Document:
    """The merge patch that makes the fields `now` what was good; empty where they are that already."""
    return _merge(now, good.part, whole=good.whole)


def _merge(now: Document, good: Document, *, whole: bool) -> Document:
    """A map of words, as a selector is, holds what was applied and no more; elsewhere what the API server filled in stays."""
    patch: Document = {}
    for name, value in good.items():
        old = now.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _merge(old, value, whole=whole):
                patch[name] = inner
        elif not (_same if whole else _within)(value, old):
            patch[name] = value
    words = bool(good) and all(isinstance(value, str) for value in good.values())
    return {**patch, **(dict.fromkeys(now.keys() - good.keys()) if whole or words else {})}


def _same(good: Any, now: Any) -> bool:
    return bool(good == now) or (good in _NOTHING and now in _NOTHING)


_NOTHING: tuple[Any, ...] = (None, {}, [], False)


def _within(good: Any, now: Any) -> bool:
    """Whether a value is as it was applied, defaults that the API server filled in left aside."""
    if isinstance(good, dict) and isinstance(now, dict):
        return all(_within(value, now.get(name)) for name, value in good.items())
    if isinstance(good, list) and isinstance(now, list):
        return len(good) == len(now) and all(map(_within, good, now))
    return _same(good, now)


def changes(arguments: Mapping[str, Any], known: KnownGood) -> list[str]:
    """What is not as it was when the service was last healthy, each with who changed it and when.

    What comes and goes by itself is not among it: nodes, and the number of pods where an autoscaler sets it.
    """
    api = connect(arguments)
    namespace, found = str(arguments["namespace"]), []
    autoscaled = any(name.startswith("HorizontalPodAutoscaler/") for name in known.objects)
    for name, kept in sorted(known.objects.items()):
        kind, _, own = name.partition("/")
        if autoscaled and kind in ("Deployment", "StatefulSet"):
            continue
        place = Resource(kind, "" if kind == "Node" else namespace, own)
        with suppress(ResponderError):
            document = api.metadata(place) if kind == "Secret" else api.seek(place)
            if document is None and kind != "Node":
                found.append(f"{kind} {own} was deleted since the service was last healthy")
            elif document and _moved(kind, document, kept):
                found.append(f"{kind} {own} was changed {written_by(document)}, since the service was last healthy")
    return found


def _moved(kind: str, document: Document, kept: Mapping[str, Any]) -> bool:
    if kind == "Secret":
        return bool(document["metadata"]["resourceVersion"] != kept["metadata"]["resourceVersion"])
    return bool(difference(part_of(document, kind), Good(part_of(kept, kind), "")))
