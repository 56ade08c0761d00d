"""The facts of a workload on Kubernetes: how many pods serve, how many fail, how often they were restarted of late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.front import endpoints
from sre_responder.effects.kubernetes.pod import ready, restarts
from sre_responder.effects.kubernetes.rollout import denied, failing, live
from sre_responder.effects.kubernetes.workload import Workload, find, rolled_out


def read(arguments: Mapping[str, Any], window_s: float, *, asked: str = "") -> dict[str, Any]:
    """What a criterion may speak of: desired, available, rolled_out, failing (pods), reasons, restarts (in the last `window_s`).

    `endpoints` and `events` cost two calls more each, and are read only where the criterion that is `asked` names them: the ready
    addresses of the Service that has the fewest, none where no Service is the workload's; the reasons of the warnings of that time.
    """
    api = connect(arguments)
    workload = find(api, arguments)
    found = live(api, workload)
    troubles = failing(workload, found)
    refused = denied(api, workload)
    reasons = sorted({*(trouble.text for trouble in troubles.values()), *((refused,) if refused else ())})
    since = datetime.now(UTC) - timedelta(seconds=window_s)
    return {
        "workload": str(workload.resource),
        "desired": workload.replicas,
        "available": workload.available,
        "rolled_out": rolled_out(workload),
        "ready": sum(map(ready, found)),
        "failing": len(troubles),
        "reasons": reasons,
        **({"events": _warned(api, workload, found, since)} if "events" in asked else {}),
        **({"endpoints": min(endpoints(api, workload).values(), default=None)} if "endpoints" in asked else {}),
        "restarts": sum(restarts(pod, since) for pod in found),
    }


def _warned(api: Api, workload: Workload, owned: list[Document], since: datetime) -> list[str]:
    """The reasons for which the workload, its ReplicaSets and its pods were warned of since then, each once."""
    namespace = workload.metadata["namespace"]
    sets = [one for one in api.search(Resource("ReplicaSet", namespace)) if workload.owns(one)]
    uids = {workload.uid, *(one["metadata"]["uid"] for one in (*sets, *owned))}
    return sorted({
        str(event["reason"])
        for event in api.search(Resource("Event", namespace))
        if event["type"] == "Warning" and event["involvedObject"].get("uid") in uids and _last(event) >= since
    })  # fmt: skip


def _last(event: Document) -> datetime:
    """When it was seen last; who wrote it decides by which field that is told."""
    told = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(told or event["metadata"]["creationTimestamp"])
