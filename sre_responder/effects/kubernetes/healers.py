"""Who else heals a node: kured, medik8s with its node health checks, Cluster API. Their work is respected, and their name is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import Workload, condition
from sre_responder.model.names import shown

KURED = "weave.works/kured-node-lock"
"""Annotation of kured's own DaemonSet: which node it reboots, or which nodes."""
MEDIK8S = "medik8s-leases"
MACHINE, MACHINE_NAMESPACE = "cluster.x-k8s.io/machine", "cluster.x-k8s.io/cluster-namespace"
"""Annotations of a node that Cluster API has made."""
REMEDIATE, PAUSED = "cluster.x-k8s.io/remediate-machine", "cluster.x-k8s.io/paused"


def at_work(api: Api, node: Workload) -> str | None:
    """Who else is at work on the node; None where nobody is known."""
    return lock.holder(api, node) or _kured(api, node) or _medik8s(api, node) or _cluster_api(api, node)


def warnings(node: Workload) -> list[str]:
    """What a person should know of who made the node."""
    machine = node.annotations.get(MACHINE)
    return [f"Cluster API may replace the node (Machine {machine}), and its cordon with it"] if machine else []


def _kured(api: Api, node: Workload) -> str | None:
    """kured cordons, drains, reboots and uncordons the node in whose name the lock on its DaemonSet stands."""
    daemon = api.seek(Resource("DaemonSet", "kube-system", "kured"))
    text = ((daemon or {"metadata": {}})["metadata"].get("annotations") or {}).get(KURED)
    if not text:
        return None
    try:
        value = json.loads(text)
        held = [one["nodeID"] for one in (value["locks"] or () if "locks" in value else (value,)) if not _expired(one)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"kured's lock says what nobody can read: {shown(text)}"
    return f"kured reboots {node.resource}: its lock is on DaemonSet kured" if node.metadata["name"] in held else None


def _expired(value: Document) -> bool:
    """kured takes a lock as free after its time to live, told in nanoseconds; without one it never ends."""
    span = timedelta(microseconds=int(value.get("TTL") or 0) / 1000)
    return bool(span) and datetime.fromisoformat(value["created"]) + span <= datetime.now(UTC)


def _medik8s(api: Api, node: Workload) -> str | None:
    """The operators of medik8s (maintenance, health checks, remediation) hold a Lease for each node they work on."""
    lease = api.seek(Resource("Lease", MEDIK8S, f"node-{node.metadata['name']}"))
    spec = (lease or {"spec": {}})["spec"]
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder:
        return None
    if renewed:
        until = datetime.fromisoformat(renewed) + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
        if until <= datetime.now(UTC):
            return None
    return f"{shown(holder)} holds {node.resource} (a Lease of medik8s, since {spec.get('acquireTime') or renewed})"


def _cluster_api(api: Api, node: Workload) -> str | None:
    """Cluster API replaces a node whose Machine is to be remediated or is deleted. Its Machine may be in another cluster."""
    name, namespace = (node.annotations.get(key) for key in (MACHINE, MACHINE_NAMESPACE))
    machine = api.seek(Resource("Machine", namespace, name)) if name and namespace else None
    if machine is None:
        return None
    marks = machine["metadata"].get("annotations") or {}
    if machine["metadata"].get("deletionTimestamp"):
        return f"Cluster API deletes {node.resource} (Machine {name})"
    asked = REMEDIATE in marks or condition(machine, "OwnerRemediated").get("status") == "False"
    if asked and PAUSED not in marks:
        return f"Cluster API remediates {node.resource} (Machine {name})"
    return None
