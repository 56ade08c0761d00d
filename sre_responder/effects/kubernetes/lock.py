"""One healer a target, whatever its ledger: a Lease beside the workload, as leaders of controllers are elected."""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sre_responder.effects.kubernetes.api import KINDS, Api, Document, Resource
from sre_responder.effects.kubernetes.workload import Workload
from sre_responder.errors import EffectFailed, InputError, Refused, ResponderError, StateMoved
from sre_responder.system.deadline import remaining
from sre_responder.system.process import alive, space, started

_NUMBER = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)


def holder(api: Api, workload: Workload) -> str | None:
    """Who else holds the workload; None where nobody does, or where whoever did has died on this machine."""
    lease = api.seek(_place(workload))
    return None if lease is None or _free(lease) else _told(lease)


@contextmanager
def held(api: Api, workload: Workload, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Hold the workload in the block. Refused where another does.

    After an end that is known the Lease is removed; after one that nobody knows it stays, for other healers to see.
    """
    place, body = _place(workload), _lease(workload, arguments)
    try:
        lease = api.create(place, body)
    except StateMoved:  # there is one already
        lease = api.get(place)
        if not _free(lease):
            raise Refused(f"{_told(lease)}.", cure=f"Ask there; once it is over: {_removal(lease)}") from None
        lease = api.patch(place, [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": lease["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec", "value": body["spec"]},
        ])  # fmt: skip
    try:
        yield
    except (InputError, Refused, EffectFailed):
        _drop(api, place)
        raise
    _drop(api, place)


def _drop(api: Api, place: Resource) -> None:
    """What cannot be removed now stays, and its holder's death frees it."""
    with suppress(ResponderError):
        api.call("delete", place)


def _place(workload: Workload) -> Resource:
    """Beside the workload; a node stands in no namespace."""
    return Resource("Lease", workload.metadata.get("namespace", "kube-system"), f"responder-{workload.uid}")


def _lease(workload: Workload, arguments: Mapping[str, Any]) -> Document:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    seconds = remaining()  # the act's deadline, as the policy has it: for people, since the clock alone frees nothing
    version = KINDS[workload.kind][0].removeprefix("apis/").removeprefix("api/")
    owner = {"apiVersion": version, "kind": workload.kind, "name": workload.metadata["name"], "uid": workload.uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": _place(workload).name,
            "annotations": {"responder.sre/incident": str(arguments.get("_incident", ""))},
            "ownerReferences": [owner],
        },
        "spec": {
            "holderIdentity": f"{socket.gethostname()}/{os.getpid()}/{started(os.getpid()):.2f}/{space()}",
            **({"leaseDurationSeconds": math.ceil(seconds)} if seconds else {}),
            "acquireTime": now,
            "renewTime": now,
        },
    }


def _free(lease: Document) -> bool:
    """Whether its holder is proven to be gone: a process of this machine that is dead. A clock proves nothing."""
    machine, pid, since, where = [*str(lease["spec"].get("holderIdentity") or "").split("/", 3), "", "", ""][:4]
    if machine != socket.gethostname() or not pid.isdecimal() or not _NUMBER.fullmatch(since):
        return False
    return alive(int(pid), float(since), where) is False


def _told(lease: Document) -> str:
    incident = (lease["metadata"].get("annotations") or {}).get("responder.sre/incident") or "no incident"
    spec = lease["spec"]
    return f"another Responder holds this workload: {spec.get('holderIdentity')} since {spec.get('acquireTime')} for {incident}"


def _removal(lease: Document) -> str:
    return f"kubectl --namespace {lease['metadata']['namespace']} delete lease {lease['metadata']['name']}"
