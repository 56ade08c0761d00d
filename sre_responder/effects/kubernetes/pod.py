"""One pod as the API server reports it: whether it counts, why it will not serve, how often it was restarted. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sre_responder.effects.kubernetes.api import Document
from sre_responder.effects.kubernetes.workload import PATIENCE_SECONDS, condition

STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Why a container waits that may yet start. Any other reason, also one of a later Kubernetes, says that it will not."""
IMAGE = frozenset({
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
})  # fmt: skip
"""Those of them that are about the image (kubelet's own words)."""
Kind = Literal["unschedulable", "image", "start", "crash", "unready", "lost"]


@dataclass(frozen=True)
class Trouble:
    """Why a pod will not become ready by waiting."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


def ready(pod: Document) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def available(pod: Document, now: datetime, minimum_s: float = 0) -> bool:
    """Whether it has been ready for `minReadySeconds`."""
    since = time_of(condition(pod, "Ready").get("lastTransitionTime"))
    return ready(pod) and (not minimum_s or (since is not None and since + timedelta(seconds=minimum_s) <= now))


def counts(pod: Document) -> bool:
    """Whether it is one of its workload's pods: one that has ended, as an evicted one has, is not, and neither is one being deleted."""
    return not ended(pod) and not pod["metadata"].get("deletionTimestamp")


def ended(pod: Document) -> bool:
    """Whether nothing of it runs any more, nor ever will."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def trouble(pod: Document, now: datetime, patience_s: float = PATIENCE_SECONDS) -> Trouble | None:
    """Why a pod will not become ready by waiting; None if nothing says so."""
    status = pod.get("status") or {}
    if status.get("phase") == "Unknown":
        return Trouble("lost", f"unknown: {status.get('message') or 'its node does not answer'}")
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "True" and scheduled.get("reason") == "Unschedulable":
        return Trouble("unschedulable", f"unschedulable: {scheduled.get('message', '')}")
    found = next((one for container in _statuses(pod) if (one := _start(container))), None)
    return found or _unready(pod, now, patience_s)


def due(pod: Document, patience_s: float = PATIENCE_SECONDS) -> datetime | None:
    """When a pod that is not ready yet counts as failing. Its own startup probes may ask for more patience than `patience_s`."""
    began = _began(pod)
    if began is None or ready(pod):
        return None
    return began + timedelta(
        seconds=max([patience_s, *map(_startup_seconds, pod.get("spec", {}).get("containers", ()))])
    )


def restarts(pod: Document, since: datetime) -> int:
    """How many of its containers were restarted, or ended, since then: by their last end, their current one, or their newest start."""
    return sum(_restarted(container, since) for container in _running(pod))


def _running(pod: Document) -> list[Document]:
    """The statuses of what is to run all the time: containers and sidecars, but no ephemeral and no ordinary init containers."""
    status, sidecars = pod.get("status") or {}, _sidecars(pod)
    init = [one for one in status.get("initContainerStatuses") or () if one["name"] in sidecars]
    return [*init, *(status.get("containerStatuses") or ())]


def _statuses(pod: Document) -> list[Document]:
    """The statuses of what must start before the pod can serve."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _sidecars(pod: Document) -> set[str]:
    init = (pod.get("spec") or {}).get("initContainers") or ()
    return {one["name"] for one in init if one.get("restartPolicy") == "Always"}


def _start(container: Document) -> Trouble | None:
    """Why a container does not start, or not for long."""
    state, name, count = container.get("state") or {}, container["name"], container.get("restartCount", 0)
    reason = (state.get("waiting") or {}).get("reason") or ""
    if reason not in STARTING:
        kind: Kind = "image" if reason in IMAGE else "crash" if reason == "CrashLoopBackOff" else "start"
        return Trouble(kind, f"{name}: {reason}")
    if not container.get("ready") and (count > 1 or (count and state.get("terminated"))):
        return Trouble("crash", f"{name}: restarted {count} times")
    return None


def _unready(pod: Document, now: datetime, patience_s: float) -> Trouble | None:
    """Whether a pod was ready and is no longer, or has not become ready for too long."""
    if ready(pod):
        return None
    who = ", ".join(_missing(pod)) or "pod"
    since, starts = time_of(condition(pod, "Ready").get("lastTransitionTime")), [*_starts(pod)]
    if since and starts and since > min(starts):  # one that only starts slowly was not ready before it ran
        return Trouble("unready", f"{who}: ready no longer")
    until = due(pod, patience_s)
    if until and until <= now:
        return Trouble("unready", f"{who}: not ready since {_began(pod):%Y-%m-%d %H:%M} UTC")
    return None


def _missing(pod: Document) -> Iterator[str]:
    """What of the pod is not ready: containers, else readiness gates."""
    waiting = [one["name"] for one in _running(pod) if not one.get("ready")]
    gates = (one["conditionType"] for one in (pod.get("spec") or {}).get("readinessGates") or ())
    unmet = [gate for gate in gates if condition(pod, gate).get("status") != "True"]
    yield from waiting or (f"readiness gate {gate}" for gate in unmet)


def _starts(pod: Document) -> Iterator[datetime]:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if started := time_of(((container.get("state") or {}).get("running") or {}).get("startedAt")):
            yield started


def _began(pod: Document) -> datetime | None:
    """When it began to become ready: with its newest container, else when it was made or stopped being ready."""
    unready = time_of(condition(pod, "Ready").get("lastTransitionTime"))
    known = (time_of(pod["metadata"].get("creationTimestamp")), unready, *_starts(pod))
    return max((time for time in known if time), default=None)


def _startup_seconds(container: Document) -> float:
    """How long its startup probe lets a container take."""
    probe = container.get("startupProbe")
    if not probe:
        return 0
    return float(
        probe.get("initialDelaySeconds", 0) + probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
    )


def _restarted(container: Document, since: datetime) -> bool:
    state = container.get("state") or {}
    ends = [(part.get("terminated") or {}).get("finishedAt") for part in (state, container.get("lastState") or {})]
    began = (state.get("running") or {}).get("startedAt") if container.get("restartCount") else None
    return any(time is not None and time >= since for time in map(time_of, (*ends, began)))


def time_of(text: str | None) -> datetime | None:
    """A time of the API; None if there is none, or if what stands there is not one."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
