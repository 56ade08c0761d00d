"""Whether an earlier revision may help: over what the API server would list, without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sre_responder.effects.kubernetes.api import Document, Resource
from sre_responder.effects.kubernetes.grounds import came_up, no_ground_for_restart, no_ground_for_return
from sre_responder.effects.kubernetes.revisions import Revision, current, history
from sre_responder.effects.kubernetes.workload import Workload
from sre_responder.errors import EffectFailed, InputError

NOW = datetime.now(UTC).replace(microsecond=0)


def at(minutes_ago: float) -> str:
    return f"{NOW - timedelta(minutes=minutes_ago):%Y-%m-%dT%H:%M:%SZ}"


def template(image: str, **spec: Any) -> Document:
    container = {
        "name": "web", "image": image, "ports": [{"containerPort": 8080}], "envFrom": [{"secretRef": {"name": "login"}}],
        "resources": {"requests": {"memory": "64Mi"}},
    }  # fmt: skip
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], **spec}}


def metadata(name: str, written: float = 90, **more: Any) -> Document:
    fields = [{"manager": "kubectl", "time": at(written), "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    return {"name": name, "namespace": "shop", "creationTimestamp": at(90), "managedFields": fields, **more}


def owned(name: str, number: int, made: float, of: Document) -> Document:
    owner = {"controller": True, "uid": "u"}
    labels = {"app": "web", "pod-template-hash": f"h{number}"}
    more = {"ownerReferences": [owner], "annotations": {"deployment.kubernetes.io/revision": str(number)}}
    return {
        "metadata": {**metadata(name), **more, "uid": f"rs{number}", "labels": labels, "creationTimestamp": at(made)},
        "spec": {"template": of},
    }


class Cluster:
    """A Deployment of two revisions with a Service and a Secret, all in order, that stands in for an API server."""

    def __init__(self, newest: Document, *, made: float = 5, complete: bool = True, replicas: int = 2) -> None:
        progress = {
            "type": "Progressing",
            "status": "True",
            "reason": "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",
        }
        counts = dict.fromkeys(("replicas", "availableReplicas", "updatedReplicas"), replicas)
        self.deployment = {
            "metadata": {**metadata("web"), "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": newest},
            "status": {"observedGeneration": 1, **counts, "conditions": [progress]},
        }
        service = {
            "metadata": metadata("web"),
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        slice = {
            "metadata": {**metadata("web-1"), "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"conditions": {"ready": True}}],
        }
        self.objects: dict[str, list[Document]] = {
            "ReplicaSet": [owned("web-1", 1, 90, template("web:1")), owned("web-2", 2, made, newest)],
            "Service": [service], "EndpointSlice": [slice], "Secret": [{"metadata": metadata("login")}],
        }  # fmt: skip
        self.unreadable: set[str] = set()

    @property
    def workload(self) -> Workload:
        return Workload("Deployment", self.deployment)

    def pod(self, **status: Any) -> None:
        """A pod of the newest revision that is not as it should be."""
        more = {
            "ownerReferences": [{"controller": True, "uid": "rs2"}],
            "labels": {"app": "web", "pod-template-hash": "h2"},
        }
        self.objects.setdefault("Pod", []).append(
            {
                "metadata": {**metadata("web-2-x"), **more},
                "spec": {"nodeName": "node-1", "containers": []},
                "status": status,
            }
        )
        self.deployment["status"]["availableReplicas"] = 1

    def search(self, resource: Resource, **_: Any) -> list[Document]:
        if resource.kind in self.unreadable:
            raise EffectFailed(f"may not list {resource}.")
        return self.objects.get(resource.kind, [])

    def get(self, resource: Resource) -> Document:
        found = [one for one in self.search(resource) if one["metadata"]["name"] == resource.name]
        if not found:
            raise InputError(f"there is no {resource}.")
        return found[0]

    metadata = get

    def refuses_return(self, healthy_at: float = 0) -> str | None:
        known = history(self, self.workload)  # type: ignore[arg-type]
        then: Revision = known[0]
        assert current(self.workload, known) is known[-1]
        return no_ground_for_return(self, self.workload, known, then, lambda: healthy_at)  # type: ignore[arg-type]


CRASHES = {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}  # fmt: skip
UNPULLED = {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}  # fmt: skip
UNPLACED = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
}


def test_a_release_of_late_may_be_why_users_are_not_served_though_its_pods_are_ready() -> None:
    assert Cluster(template("web:2")).refuses_return() is None


def test_an_old_template_with_ready_pods_is_not_what_changed() -> None:
    why = Cluster(template("web:2"), made=80).refuses_return()
    assert why and "its 2 pods run and are ready, and nothing about its template changed" in why


def test_a_template_is_not_what_changed_since_the_service_was_last_healthy() -> None:
    cluster, healthy = Cluster(template("web:2"), made=5), NOW - timedelta(minutes=2)
    why = cluster.refuses_return(healthy.timestamp())
    assert why and f"since the service was last healthy at {healthy:%Y-%m-%dT%H:%M:%SZ}" in why
    assert cluster.refuses_return((NOW - timedelta(minutes=9)).timestamp()) is None


def _port(cluster: Cluster) -> None:
    cluster.objects["Service"][0]["spec"]["ports"][0]["targetPort"] = 9999


def _selector(cluster: Cluster) -> None:
    cluster.objects["Service"][0]["spec"]["selector"] = {"app": "other"}


def _deleted(cluster: Cluster) -> None:
    cluster.objects["Service"] = []


def _policy(cluster: Cluster) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"]}
    cluster.objects["NetworkPolicy"] = [{"metadata": metadata("closed"), "spec": spec}]


def _secret(cluster: Cluster) -> None:
    cluster.objects["Secret"][0]["metadata"] = metadata("login", written=1)


def _gone(cluster: Cluster) -> None:
    cluster.objects["Secret"] = []


ELSEWHERE = {
    "Service web leads to port 9999, and the pods listen on 8080": _port,
    "Service web selects app=other, and the pods have app=web": _selector,
    "listens on 8080, and no Service leads to its pods": _deleted,
    "NetworkPolicy closed lets no request in to the pods by kubectl": _policy,
    "Secret login was changed by kubectl at": _secret,
    "Secret login which the pods need, does not exist": _gone,
}


@pytest.mark.parametrize("words", ELSEWHERE)
def test_ready_pods_are_not_returned_where_the_cause_is_elsewhere(words: str) -> None:
    cluster = Cluster(template("web:2"))
    ELSEWHERE[words](cluster)
    assert words in (cluster.refuses_return() or "")


def test_pods_that_are_reached_at_their_nodes_need_no_service() -> None:
    cluster = Cluster(template("web:2", hostNetwork=True))
    _deleted(cluster)
    assert cluster.refuses_return() is None


def test_what_may_not_be_looked_at_is_told_and_nothing_is_concluded_without_it() -> None:
    cluster = Cluster(template("web:2"))
    cluster.unreadable = {"NetworkPolicy"}
    with pytest.raises(EffectFailed, match="may not list NetworkPolicies"):
        cluster.refuses_return()


def test_what_was_changed_before_the_template_is_not_suspected() -> None:
    cluster = Cluster(template("web:2"))
    cluster.objects["Secret"][0]["metadata"] = metadata("login", written=30)
    assert cluster.refuses_return() is None


def test_a_workload_that_is_scaled_to_zero_is_told_as_that() -> None:
    why = Cluster(template("web:2"), replicas=0).refuses_return()
    assert why and "it is scaled to zero" in why


def test_a_release_that_a_quota_keeps_out_goes_back_to_pods_that_still_serve() -> None:
    cluster = Cluster(template("web:2"), complete=False)
    cluster.deployment["status"] |= {"replicas": 2, "updatedReplicas": 0}
    cluster.deployment["status"]["conditions"].append({"type": "ReplicaFailure", "status": "True", "message": "full"})
    cluster.pod()
    cluster.objects["Pod"][0]["metadata"] |= {
        "ownerReferences": [{"controller": True, "uid": "rs1"}], "labels": {"pod-template-hash": "h1"},
    }  # fmt: skip
    assert cluster.refuses_return() is None


def test_a_quota_is_named_where_the_earlier_revision_asks_for_as_much() -> None:
    cluster = Cluster(template("web:2"), complete=False)
    cluster.deployment["status"] |= {"replicas": 1, "availableReplicas": 1}
    cluster.deployment["status"]["conditions"].append(
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: memory"}
    )
    assert "refuses its pods: exceeded quota: memory; revision 1 asks for the same" in (cluster.refuses_return() or "")
    cluster.objects["ReplicaSet"][0]["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    assert cluster.refuses_return() is None


@pytest.mark.parametrize(
    ("status", "newest", "words"),
    [
        (UNPULLED, template("web:1", hostname="x"), "ImagePullBackOff, and revision 1 needs the same image"),
        (UNPULLED, template("web:2"), None),
        (UNPLACED, template("web:2"), "0/3 nodes, and revision 1 asks the same of a node"),
        (UNPLACED, template("web:2", nodeSelector={"disk": "fast"}), None),
        (CRASHES, template("web:2"), None),
    ],
)
def test_an_earlier_template_helps_only_where_it_differs_in_what_fails(
    status: Document, newest: Document, words: str | None
) -> None:
    cluster = Cluster(newest, complete=False)
    cluster.pod(**status)
    why = cluster.refuses_return()
    assert (words in why) if words and why else why is words


def test_pods_that_came_up_and_crash_since_a_secret_changed_are_not_returned() -> None:
    cluster = Cluster(template("web:2"))
    cluster.pod(**CRASHES)
    assert cluster.refuses_return() is None
    _secret(cluster)
    assert "came up with this template, and the cause is elsewhere: Secret login" in (cluster.refuses_return() or "")


def test_pods_on_a_node_that_is_lost_are_not_returned() -> None:
    cluster = Cluster(template("web:2"))
    cluster.pod(phase="Unknown")
    ready = {"type": "Ready", "status": "Unknown"}
    cluster.objects["Node"] = [{"metadata": metadata("node-1"), "status": {"conditions": [ready]}}]
    assert "are on node-1, which does not answer" in (cluster.refuses_return() or "")


def test_a_rollout_that_never_came_up_is_not_restarted_where_there_is_a_revision_to_return_to() -> None:
    cluster = Cluster(template("web:2"), complete=False)
    cluster.pod(**CRASHES)
    refused = no_ground_for_restart(cluster, cluster.workload)  # type: ignore[arg-type]
    assert refused and "revision 2 has never come up (pod web-2-x, web: CrashLoopBackOff)" in refused
    del cluster.objects["ReplicaSet"][0]
    assert no_ground_for_restart(cluster, cluster.workload) is None  # type: ignore[arg-type]


def test_a_crash_loop_of_what_once_came_up_is_restarted() -> None:
    cluster = Cluster(template("web:2"), complete=True)
    cluster.pod(**CRASHES)
    assert no_ground_for_restart(cluster, cluster.workload) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [UNPULLED, UNPLACED])
def test_pods_that_could_not_start_anew_are_not_restarted(status: Document) -> None:
    cluster = Cluster(template("web:2"), complete=True)
    cluster.pod(**status)
    assert "and so would be the pods of a restart" in (no_ground_for_restart(cluster, cluster.workload) or "")  # type: ignore[arg-type]


def progressing(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Progressing", "status": "True", "reason": reason}]}


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("Deployment", progressing("NewReplicaSetAvailable"), True),
        ("Deployment", progressing("ReplicaSetUpdated"), False),
        ("Deployment", progressing("ProgressDeadlineExceeded"), False),
        ("Deployment", {}, False),
        ("StatefulSet", {"currentRevision": "web-2", "updateRevision": "web-2"}, True),
        ("StatefulSet", {"currentRevision": "web-1", "updateRevision": "web-2"}, False),
        ("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3}, True),
        ("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1}, False),
    ],
)
def test_a_template_has_come_up_once_its_rollout_was_finished(kind: str, status: Document, expected: bool) -> None:
    assert came_up(Workload(kind, {"metadata": {}, "spec": {}, "status": status})) is expected
