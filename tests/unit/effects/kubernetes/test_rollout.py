"""Whether a workload is rolled out, and until when it is waited for: over statuses as its controllers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.rollout import after, failing, fails_by, serves_nothing
from sre_responder.effects.kubernetes.workload import Workload, rolled_out, scaled
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused, ResponderError, StateMoved
from sre_responder.system.deadline import deadline


def workload(kind: str, spec: dict[str, Any], **status: Any) -> Workload:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "generation": 3,
        "creationTimestamp": "2026-11-26T10:00:00Z",
    }
    return Workload(kind, {"metadata": metadata, "spec": spec, "status": {"observedGeneration": 3, **status}})


def stateful(updated: int, *, wanted: int = 3, available: int = 3, **strategy: Any) -> Workload:
    return workload(
        "StatefulSet", {"replicas": wanted, "updateStrategy": strategy}, replicas=wanted, availableReplicas=available,
        updatedReplicas=updated, currentRevision="web-1", updateRevision="web-2",
    )  # fmt: skip


def deployment(updated: int, available: int, *, existing: int = 3, **more: Any) -> Workload:
    return workload(
        "Deployment", {"replicas": 3, **more.pop("spec", {})}, replicas=existing, updatedReplicas=updated,
        availableReplicas=available, **more,
    )  # fmt: skip


def daemon(updated: int, available: int, **strategy: Any) -> Workload:
    return workload(
        "DaemonSet", {"updateStrategy": strategy}, desiredNumberScheduled=3, currentNumberScheduled=3,
        updatedNumberScheduled=updated, numberAvailable=available,
    )  # fmt: skip


ROLLED_OUT = {
    "OnDelete, and every pod was replaced": (stateful(3, type="OnDelete"), True),
    "OnDelete, and a pod of the other revision serves": (stateful(2, type="OnDelete"), False),
    "all pods are of the newest revision": (stateful(3), True),
    "a pod is of the older revision": (stateful(2), False),
    "a partition keeps one pod": (stateful(2, rollingUpdate={"partition": 1}), True),
    "a partition keeps one pod, and another is behind": (stateful(1, rollingUpdate={"partition": 1}), False),
    "a partition above all pods": (stateful(0, rollingUpdate={"partition": 9}), True),
    "a pod is ready for less than minReadySeconds": (stateful(3, available=2), False),
    "a Deployment with all its pods": (deployment(3, 3), True),
    "a Deployment with a pod of the old template beside": (deployment(3, 3, existing=4), False),
    "a Deployment with a pod too few": (deployment(3, 2), False),
    "a Deployment that its controller has not seen": (deployment(3, 3, observedGeneration=2), False),
    "a DaemonSet with all its pods": (daemon(3, 3), True),
    "a DaemonSet OnDelete with an old pod": (daemon(2, 3, type="OnDelete"), False),
}


@pytest.mark.parametrize("case", ROLLED_OUT)
def test_what_is_rolled_out(case: str) -> None:
    given, wanted = ROLLED_OUT[case]
    assert rolled_out(given) is wanted


def test_a_count_is_reached_whichever_template_the_pods_are_of() -> None:
    assert scaled(stateful(1, type="OnDelete"))
    assert not scaled(deployment(3, 2))


def test_where_nothing_serves_and_nothing_older_is_left_a_rollback_takes_nothing_away() -> None:
    assert serves_nothing(deployment(3, 0))
    assert not serves_nothing(deployment(2, 0)), "a pod of the old template may come back"
    assert not serves_nothing(deployment(3, 1))
    assert not serves_nothing(deployment(3, 0, observedGeneration=2)), "the status is of an earlier template"


def progressing(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Progressing", "reason": reason, "lastUpdateTime": "2026-11-26T11:00:00Z"}]}


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": "2026-11-26T11:05:00Z"}, "status": status}


UNTIL = {
    "the Deployment's own deadline": (deployment(3, 0, spec={"progressDeadlineSeconds": 120}, **progressing("ReplicaSetUpdated")), [], "11:02"),
    "ten minutes by default": (deployment(3, 0, **progressing("ReplicaSetUpdated")), [], "11:10"),
    "a complete Deployment has no deadline: its pods have": (deployment(3, 2, **progressing("NewReplicaSetAvailable")), [pod("a")], "11:15"),
    "a StatefulSet has none: its pods have": (stateful(2), [pod("a")], "11:15"),
    "no pod is there yet": (stateful(2), [], "10:10"),
    "no deadline at all": (deployment(3, 0, spec={"progressDeadlineSeconds": 2**31 - 1}, **progressing("ReplicaSetUpdated")), [], "14:14"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTIL)
def test_until_when_a_rollout_is_waited_for(case: str) -> None:
    given, owned, wanted = UNTIL[case]
    assert f"{fails_by(given, owned):%H:%M}" == wanted


def test_pods_that_ended_fail_no_workload() -> None:
    crashed = {"containerStatuses": [{"name": "web", "restartCount": 3, "ready": False, "state": {}}]}
    owned = [pod("evicted", phase="Failed", **crashed), pod("sick", phase="Running", **crashed)]
    assert [*failing(deployment(3, 3), owned)] == ["sick"]
    assert datetime.now(UTC) > fails_by(stateful(2), owned)


@pytest.mark.parametrize("error", [InputError, StateMoved, Refused, EffectFailed])
def test_what_fails_after_a_write_says_what_was_written_and_is_no_bad_input(error: type[ResponderError]) -> None:
    with pytest.raises(EffectFailed, match="evicted: a, b, and then: gone") as told, after(lambda: "evicted: a, b"):
        raise error("gone.", cure="Look at it.")
    assert told.value.cure == "Look at it."


def test_what_nobody_knows_after_a_write_stays_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="web was changed, and then: no answer"), after(lambda: "web was changed"):
        raise OutcomeUnknown("no answer.")


def test_what_fails_before_any_write_is_told_as_it_is() -> None:
    with pytest.raises(StateMoved, match=r"^gone\.$"), after(lambda: ""):
        raise StateMoved("gone.")


def test_a_lease_says_how_long_its_act_may_take_by_the_policy() -> None:
    def seconds() -> int | None:
        found = lock._lease(deployment(3, 3), {})["spec"].get("leaseDurationSeconds")
        return None if found is None else int(found)

    assert seconds() is None, "nothing limits it"
    with deadline(42):
        assert seconds() == 42
