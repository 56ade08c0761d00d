"""The earlier templates of a workload, found by owner and revision as kubectl does, never by label."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import HASHES, Workload, changed_at, content, fingerprint, images
from sre_responder.errors import InputError
from sre_responder.model.names import shown

REVISION = "deployment.kubernetes.io/revision"
RETURNED = f"{REVISION}-history"
"""Annotation of a ReplicaSet to which its Deployment has returned: the numbers that it had before."""
LEFT = "responder.sre/left"
"""Annotation of a workload: what its templates ran that a rollback has left; `previous` never returns to it."""
PREVIOUS = "previous"


@dataclass(frozen=True)
class Revision:
    """One template that a workload has had."""

    number: int
    name: str
    created: str
    template: Document
    label: str
    """What its pods have as the label of their revision."""
    since: str
    """When the workload last turned to it, or somewhat later: a workload that returns to a template keeps what is there of it."""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.template)

    @property
    def content(self) -> str:
        return content(self.template)


def history(api: Api, workload: Workload) -> list[Revision]:
    """What a workload has been, oldest first. InputError where the history contradicts itself."""
    deployment = workload.kind == "Deployment"
    kind, read = ("ReplicaSet", _of_replica_set) if deployment else ("ControllerRevision", _of_controller_revision)
    near = api.search(Resource(kind, workload.metadata["namespace"]), since=workload.version)
    found = [read(item) for item in near if workload.owns(item)]
    found.sort(key=lambda revision: revision.number)
    numbers = [revision.number for revision in found]
    if len({*numbers}) < len(numbers) or 0 in numbers:
        raise InputError(
            f"the history of {workload.resource} contradicts itself: revisions {numbers}.",
            cure=f"Someone edited {REVISION}; name the image to return to, once it is mended.",
        )
    return found


def current(workload: Workload, known: Sequence[Revision]) -> Revision | None:
    """The revision that a workload has now, by its template; None while the controller has not made it yet."""
    mine = fingerprint(workload.template)
    return next((revision for revision in reversed(known) if revision.fingerprint == mine), None)


def since(known: Sequence[Revision]) -> str:
    """Since when a workload runs what it runs now: a restart makes a new revision of the same. Empty without a history."""
    same = itertools.takewhile(lambda revision: revision.content == known[-1].content, reversed(known))
    return min((revision.since for revision in same), default="")


def choose(workload: Workload, known: Sequence[Revision], now: Revision, to: str) -> Revision:
    """The revision to return to: `previous`, a number, an image or the digest of one.

    `previous` is the newest older one that runs something else and that no rollback has left. InputError where there is none,
    or where it is the one now.
    """
    left = workload.annotations.get(LEFT, "").split()
    older = [revision for revision in known if revision.number < now.number]
    if to == PREVIOUS:
        found = [revision for revision in older if revision.content not in (*left, now.content)][-1:]
    elif to.isdecimal():
        found = [revision for revision in known if revision.number == int(to)]
    else:
        wanted = [r for r in known if any(_is(image, to) for image in images(r.template).values())]
        found = wanted[-1:]
    if not found:
        raise InputError(
            f"{workload.resource} has no revision '{shown(to)}' to return to.",
            cure=f"It has {listed(known, left)}; revisionHistoryLimit says how many are kept.",
        )
    if found[0].fingerprint == now.fingerprint:
        raise InputError(
            f"{workload.resource} has the template of revision {found[0].number} already.",
            cure=f"Name another: it has {listed(known, left)}.",
        )
    return found[0]


def listed(known: Sequence[Revision], left: Sequence[str] = ()) -> str:
    """The revisions in words."""

    def told(revision: Revision) -> str:
        images_of = ", ".join(images(revision.template).values())
        note = ", left by a rollback" if revision.content in left else ""
        return f"{revision.number} ({images_of}{note})"

    return "; ".join(map(told, known))


def _is(image: str, wanted: str) -> bool:
    """Whether an image is the wanted one: the whole reference, or its digest alone."""
    return image == wanted or (wanted.startswith("sha256:") and image.endswith(f"@{wanted}"))


def _of_replica_set(item: Document) -> Revision:
    metadata: dict[str, Any] = item["metadata"]
    number = (metadata.get("annotations") or {}).get(REVISION, "0")
    return Revision(
        int(number) if number.isdecimal() else 0,
        metadata["name"],
        metadata["creationTimestamp"],
        item["spec"]["template"],
        (metadata.get("labels") or {}).get("pod-template-hash", ""),
        changed_at(item) if RETURNED in (metadata.get("annotations") or {}) else metadata["creationTimestamp"],
    )


def _of_controller_revision(item: Document) -> Revision:
    template = {name: value for name, value in item["data"]["spec"]["template"].items() if name != "$patch"}
    metadata: dict[str, Any] = item["metadata"]
    # A DaemonSet labels its revisions as its pods; a StatefulSet its pods with the revision's name.
    label = (metadata.get("labels") or {}).get("controller-revision-hash") or metadata["name"]
    return Revision(
        int(item["revision"]), metadata["name"], metadata["creationTimestamp"], template, label, changed_at(item)
    )


def revision_of(pod: Document) -> str:
    """The label of the revision that a pod is of."""
    labels = pod["metadata"].get("labels") or {}
    return str(next((labels[name] for name in HASHES if name in labels), ""))
