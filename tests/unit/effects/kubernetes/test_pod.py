"""What one pod is worth as evidence: a table of situations as kubelet, scheduler and node controller report them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sre_responder.effects.kubernetes.pod import available, counts, due, restarts, trouble

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def at(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(name: str = "web", **status: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": {}, **status}


def waiting(reason: str, **more: Any) -> dict[str, Any]:
    return container(state={"waiting": {"reason": reason}}, **more)


def running(seconds: float, **more: Any) -> dict[str, Any]:
    return container(state={"running": {"startedAt": at(seconds)}}, **more)


def pod(*containers: dict[str, Any], ready: str = "False", since: float = 30, age: float = 30, **parts: Any) -> dict[str, Any]:  # fmt: skip
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": at(since)}, *parts.pop("conditions", ())]
    status = {
        "phase": "Running",
        "conditions": conditions,
        "containerStatuses": [*containers],
        **parts.pop("status", {}),
    }
    metadata = {"name": "web-1", "creationTimestamp": at(age), **parts.pop("metadata", {})}
    return {"metadata": metadata, "spec": {"containers": [{"name": "web"}], **parts.pop("spec", {})}, "status": status}


SIDECAR = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
INIT = {"initContainers": [{"name": "migrate"}]}
GATED = {"readinessGates": [{"conditionType": "target-health.example/web"}]}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}

TROUBLES = {
    "its image is still being pulled": (pod(waiting("ContainerCreating")), None),
    "its init containers still run": (pod(waiting("PodInitializing")), None),
    "it waits, and says no reason": (pod(container(state={"waiting": {}})), None),
    "it has started, and is not ready yet": (pod(running(10)), None),
    "it is ready": (pod(running(10, ready=True), ready="True"), None),
    "it is ready after many restarts": (pod(running(10, ready=True, restartCount=9), ready="True"), None),
    "no node takes it": (pod(conditions=[UNSCHEDULABLE]), ("unschedulable", "unschedulable: 0/3 nodes")),
    "a gate holds its scheduling": (
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]), None,
    ),
    "an init container crashes": (
        pod(waiting("PodInitializing"), spec=INIT, status={"initContainerStatuses": [waiting("CrashLoopBackOff", name="migrate")]}),
        ("crash", "migrate: CrashLoopBackOff"),
    ),
    "an init container cannot be pulled": (
        pod(waiting("PodInitializing"), spec=INIT, status={"initContainerStatuses": [waiting("ErrImagePull", name="migrate")]}),
        ("image", "migrate: ErrImagePull"),
    ),
    "an init container succeeded at its third try": (
        pod(running(5), spec=INIT, status={"initContainerStatuses": [
            container("migrate", ready=True, restartCount=2, state={"terminated": {"exitCode": 0, "finishedAt": at(9)}}),
        ]}),
        None,
    ),
    "a sidecar crashes": (
        pod(running(20, ready=True), spec=SIDECAR, status={"initContainerStatuses": [waiting("CrashLoopBackOff", name="proxy")]}),
        ("crash", "proxy: CrashLoopBackOff"),
    ),
    "it crashed once, and has not been started again yet": (
        pod(container(state={"terminated": {"exitCode": 1, "finishedAt": at(1)}})), None,
    ),
    "it crashed again, between two back-offs": (
        pod(container(restartCount=1, state={"terminated": {"exitCode": 1, "finishedAt": at(1)}})),
        ("crash", "web: restarted 1 times"),
    ),
    "it crashed again, and has just been started": (pod(running(1, restartCount=2)), ("crash", "web: restarted 2 times")),
    "it was ready, and is no longer": (pod(running(60), since=5), ("unready", "web: ready no longer")),
    "a readiness gate is not met any more": (
        pod(running(60, ready=True), since=5, spec=GATED),
        ("unready", "readiness gate target-health.example/web: ready no longer"),
    ),
    "a readiness gate is not met yet": (pod(running(20, ready=True), spec=GATED), None),
    "a readiness gate was never met": (
        pod(running(690, ready=True), since=700, age=700, spec=GATED),
        ("unready", "readiness gate target-health.example/web: not ready since 2026-11-26 11:48 UTC"),
    ),
    "it runs, and never became ready": (
        pod(running(650), since=700, age=700), ("unready", "web: not ready since 2026-11-26 11:49 UTC"),
    ),
    "its volume never comes": (
        pod(waiting("ContainerCreating"), since=700, age=700), ("unready", "web: not ready since 2026-11-26 11:48 UTC"),
    ),
    "its startup probe allows it an hour": (
        pod(running(650), since=700, age=700, spec={"containers": [
            {"name": "web", "startupProbe": {"periodSeconds": 60, "failureThreshold": 60}},
        ]}),
        None,
    ),
    "its node is gone": (pod(status={"phase": "Unknown"}), ("lost", "unknown: its node does not answer")),
    "a debugging container crashes": (
        pod(running(60, ready=True), ready="True", status={"ephemeralContainerStatuses": [waiting("CrashLoopBackOff")]}), None,
    ),
    "it has no status yet": ({"metadata": {"name": "web-1"}}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", TROUBLES)
def test_why_a_pod_will_not_become_ready(case: str) -> None:
    given, wanted = TROUBLES[case]
    found = trouble(given, NOW)
    assert (found and (found.kind, found.text)) == wanted


@pytest.mark.parametrize("reason", [
    "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed", "InvalidImageName",
    "PostStartHookError", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
    "AReasonOfALaterKubernetes",
])  # fmt: skip
def test_a_container_that_waits_for_anything_but_its_creation_fails(reason: str) -> None:
    found = trouble(pod(waiting(reason)), NOW)
    assert found is not None and found.text == f"web: {reason}"


def test_a_deployment_may_allow_its_pods_more_time_or_less() -> None:
    slow = pod(running(650), since=700, age=700)
    assert trouble(slow, NOW, patience_s=3600) is None
    assert trouble(slow, NOW, patience_s=60) is not None
    assert due(slow, 3600) == NOW + timedelta(seconds=3600 - 650)
    assert due(pod(running(9, ready=True), ready="True")) is None


COUNTS = {
    "it runs": (pod(), True),
    "it was evicted": (pod(status={"phase": "Failed", "reason": "Evicted"}), False),
    "its node was shut down": (pod(status={"phase": "Failed", "reason": "Terminated"}), False),
    "it has done its work": (pod(status={"phase": "Succeeded"}), False),
    "it is being deleted": (pod(metadata={"deletionTimestamp": at(1)}), False),
    "its node does not answer": (pod(status={"phase": "Unknown"}), True),
}


@pytest.mark.parametrize("case", COUNTS)
def test_which_pods_count(case: str) -> None:
    given, wanted = COUNTS[case]
    assert counts(given) is wanted


def ended(seconds: float | None) -> dict[str, Any]:
    return {"terminated": {"exitCode": 1, "finishedAt": None if seconds is None else at(seconds)}}


RESTARTS = {
    "it was never restarted": (pod(running(10, ready=True)), 0),
    "it was restarted, and its last end is known": (pod(running(10, restartCount=1, lastState=ended(12))), 1),
    "it was restarted long ago": (pod(running(500, restartCount=1, lastState=ended(502))), 0),
    "it is down now": (pod(container(state=ended(3))), 1),
    "it is in a back-off": (pod(waiting("CrashLoopBackOff", restartCount=4, lastState=ended(20))), 1),
    "its count grew, and its last end is forgotten": (pod(running(10, restartCount=1)), 1),
    "its last end has no time": (pod(running(10, restartCount=1, lastState=ended(None))), 1),
    "its sidecar was restarted": (
        pod(running(500), spec=SIDECAR, status={"initContainerStatuses": [running(5, name="proxy", restartCount=1)]}), 1,
    ),
    "its init container was restarted before it started": (
        pod(running(5), spec=INIT, status={"initContainerStatuses": [
            container("migrate", ready=True, restartCount=1, state=ended(6)),
        ]}),
        0,
    ),
    "two of its containers were restarted": (pod(running(5, restartCount=1), running(5, name="b", restartCount=3)), 2),
}  # fmt: skip


@pytest.mark.parametrize("case", RESTARTS)
def test_restarts_of_the_window(case: str) -> None:
    given, wanted = RESTARTS[case]
    assert restarts(given, NOW - timedelta(seconds=60)) == wanted


def test_a_pod_is_available_once_it_was_ready_for_long_enough() -> None:
    fresh = pod(running(10, ready=True), ready="True", since=10)
    assert available(fresh, NOW)
    assert not available(fresh, NOW, 30)
    assert available(fresh, NOW, 5)
