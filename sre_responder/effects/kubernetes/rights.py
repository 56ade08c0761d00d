"""What each action asks of the API server: the one list from which the roles are made, and by which they are tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORKLOADS = ("deployments", "statefulsets", "daemonsets")


@dataclass(frozen=True)
class Rule:
    """Verbs on resources of one API group, as RBAC has them."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    @property
    def manifest(self) -> dict[str, Any]:
        return {"apiGroups": [self.group], "resources": [*self.resources], "verbs": [*self.verbs]}


_READ = ("get", "list", "watch")
_PODS = (
    Rule("", ("pods",), ("list",)),
    Rule("apps", ("replicasets",), ("list",)),
)  # a Deployment owns pods at second hand
_BROKEN = Rule("", ("pods",), ("list", "patch", "delete"))
"""A StatefulSet's broken pod stays for ever: the plan is written on it, and it is deleted."""
_ROOM = Rule("", ("limitranges", "resourcequotas"), ("list",))
_FRONT = (
    Rule("", ("services",), ("list",)),
    Rule("discovery.k8s.io", ("endpointslices",), ("list",)),
    Rule("networking.k8s.io", ("networkpolicies",), ("list",)),
)
"""What leads to pods and lets requests in: the cause may be there."""
_SCALER = Rule("autoscaling", ("horizontalpodautoscalers",), ("get", "list", "patch"))
_LEASE = Rule("coordination.k8s.io", ("leases",), ("get", "create", "patch", "delete"))

RIGHTS: Mapping[str, tuple[Rule, ...]] = {
    "kubernetes_drain": (
        Rule("", ("nodes",), ("patch",)),
        Rule("", ("pods",), ("list",)),
        Rule("", ("pods/eviction",), ("create",)),
        Rule("apps", ("daemonsets",), ("get",)),  # kured's lock is on its own
        Rule("cluster.x-k8s.io", ("machines",), ("get",)),
        _LEASE,
    ),
    "kubernetes_evict": (
        Rule("apps", WORKLOADS, ("get", "list")),
        *_PODS,
        Rule("", ("pods/eviction",), ("create",)),
        _LEASE,
    ),
    "kubernetes_hold": (
        Rule("apps", WORKLOADS, ("get", "list", "patch")),  # Flux is told on the workload itself
        Rule("argoproj.io", ("applications",), ("get", "list", "patch")),
        Rule("kustomize.toolkit.fluxcd.io", ("kustomizations",), ("get",)),
        Rule("helm.toolkit.fluxcd.io", ("helmreleases",), ("get", "patch")),
        _LEASE,
    ),
    "kubernetes_isolate": (
        Rule("apps", ("deployments", "statefulsets"), ("get", "list", "patch")),
        Rule("apps", ("daemonsets",), ("get", "list")),
        Rule("", ("pods",), (*_READ, "patch", "delete")),
        Rule("apps", ("replicasets",), ("list",)),
        Rule("", ("services",), ("list",)),
        Rule("networking.k8s.io", ("networkpolicies",), ("get", "list", "create", "delete")),
        _ROOM,
        _SCALER,
        _LEASE,
    ),
    "kubernetes_pause_rollout": (Rule("apps", ("deployments",), (*_READ, "patch")), *_PODS, _LEASE),
    "kubernetes_restart": (
        Rule("apps", WORKLOADS, (*_READ, "patch")),
        *_PODS,
        Rule("apps", ("controllerrevisions",), ("list",)),
        _BROKEN,
        _ROOM,
        Rule("policy", ("poddisruptionbudgets",), ("list",)),  # only to tell of them
        _LEASE,
    ),
    "kubernetes_restore": (
        Rule("apps", ("deployments", "statefulsets"), ("get", "list", "patch")),
        Rule("apps", ("daemonsets",), ("get", "list")),
        Rule("", ("pods",), ("list",)),
        Rule(
            "apps", ("replicasets",), ("list", "patch")
        ),  # a mark on it wakes its controller, once a quota lets pods in
        Rule("apps", ("controllerrevisions",), ("list",)),
        Rule("", ("services", "configmaps"), ("get", "list", "create", "patch", "delete")),  # deleted by its undo only
        Rule("networking.k8s.io", ("networkpolicies",), ("get", "list", "create", "patch", "delete")),
        Rule("", ("resourcequotas", "limitranges"), ("get", "list", "patch")),
        Rule("autoscaling", ("horizontalpodautoscalers",), ("get", "list", "patch")),
        Rule("discovery.k8s.io", ("endpointslices",), ("list",)),
        _LEASE,
    ),
    "kubernetes_scale": (
        Rule("apps", ("deployments", "statefulsets"), (*_READ, "patch")),
        *_PODS,
        _ROOM,
        _SCALER,
        _LEASE,
    ),
    "kubernetes_rollback": (
        Rule("apps", WORKLOADS, (*_READ, "patch")),
        Rule("apps", ("replicasets",), ("get", "list", "patch")),  # its undo marks the revision to which it returns
        Rule("apps", ("controllerrevisions",), ("list",)),
        _BROKEN,
        Rule("", ("configmaps", "secrets"), ("get",)),  # only their metadata is asked for, to see what changed
        *_FRONT,
        _LEASE,
    ),
}
"""By action: what it calls, and what its undo does by kubectl."""

WIDE = frozenset({"kubernetes_drain"})
"""Actions that act wherever pods are: an account that watches some namespaces has their role, and is not bound to it."""

READING = (
    Rule("apps", (*WORKLOADS, "replicasets", "controllerrevisions"), _READ),
    Rule("", ("pods", "services", "endpoints", "events", "resourcequotas", "limitranges"), _READ),
    Rule("", ("pods/log",), ("get",)),
    Rule("discovery.k8s.io", ("endpointslices",), _READ),
    Rule("events.k8s.io", ("events",), _READ),
    Rule("autoscaling", ("horizontalpodautoscalers",), _READ),
    Rule("policy", ("poddisruptionbudgets",), _READ),
    Rule("networking.k8s.io", ("networkpolicies",), _READ),
)
"""What evidence and diagnosis read in a namespace: never secrets."""
OUTSIDE = (
    Rule("", ("nodes",), _READ),
    Rule("", ("namespaces",), ("get",)),  # a workload is not there, or its whole namespace is not
    Rule("argoproj.io", ("applications", "rollouts"), ("get", "list")),
    Rule("flagger.app", ("canaries",), ("get", "list")),
    Rule("kustomize.toolkit.fluxcd.io", ("kustomizations",), ("get", "list")),
    Rule("helm.toolkit.fluxcd.io", ("helmreleases",), ("get", "list")),
)
"""What is read wherever it stands: nodes, and those who may be at work on a workload (owners.py)."""
