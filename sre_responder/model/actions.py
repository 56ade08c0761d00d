"""The allowlist: every guarded action, its rung, its platform, and where its options come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Rung = Literal[0, 1, 2, 3, 4]  # 0 is containment: it comes before the ladder


@dataclass(frozen=True)
class ActionSpec:
    """What the guard must know of an action; the effect itself is in `effects/` or in a host module."""

    name: str
    rung: Rung
    platform: str
    undoable: bool
    on_host: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Options that the catalogue's annotations fill where the task leaves them out: option to annotation."""
    locates: tuple[str, ...] = ()
    """Those of them that say which target it is; the others say how it is changed."""
    minutes: str = ""
    """The option that says for how long it lasts: containment that only makes room for a remedy. It is not taken where the
    service is healthy, does not count as contained first, and its plan says when it is undone."""
    secrets: frozenset[str] = frozenset()
    """Options marked no_log: they enter the plan's digest as a keyed hash and never the record."""

    @property
    def containment(self) -> bool:
        return self.rung == 0

    @property
    def shields(self) -> bool:
        """Whether it keeps harm from users: containment that only makes room for a remedy does not."""
        return self.containment and not self.minutes

    @property
    def rollback(self) -> bool:
        return self.rung == 3


KUBERNETES = {
    "kubeconfig": "responder/kubeconfig",
    "context": "responder/kubernetes-context",
    "namespace": "backstage.io/kubernetes-namespace",
    "kind": "responder/kubernetes-kind",
    "name": "responder/kubernetes-name",
    "selector": "backstage.io/kubernetes-label-selector",
    "kubernetes_id": "backstage.io/kubernetes-id",
}
"""How the catalogue tells where a service runs on Kubernetes: option to annotation."""
_CLUSTER = ("kubeconfig", "context")
_NAMESPACE = (*_CLUSTER, "namespace")
"""A workload is found by its name, a selector or an id, so two ways to one share no more than the namespace for certain."""
_HAPROXY = {"socket": "responder/haproxy-socket", "backend": "responder/haproxy-backend"}

ACTIONS: Mapping[str, ActionSpec] = {
    spec.name: spec
    for spec in (
        ActionSpec(
            "haproxy_drain",
            0,
            "haproxy",
            undoable=True,
            annotations={**_HAPROXY, "server": "responder/haproxy-server"},
            locates=tuple(_HAPROXY),
        ),
        ActionSpec(
            "kubernetes_drain",
            0,
            "kubernetes",
            undoable=True,
            annotations={option: KUBERNETES[option] for option in _CLUSTER},
            locates=_CLUSTER,
        ),
        ActionSpec(
            "kubernetes_hold",
            0,
            "kubernetes",
            undoable=True,
            annotations=KUBERNETES,
            locates=_NAMESPACE,
            minutes="minutes",
        ),
        ActionSpec("kubernetes_isolate", 0, "kubernetes", undoable=True, annotations=KUBERNETES, locates=_NAMESPACE),
        ActionSpec(
            "kubernetes_pause_rollout", 0, "kubernetes", undoable=True, annotations=KUBERNETES, locates=_NAMESPACE
        ),
        ActionSpec(
            "http_cache_purge",
            1,
            "http cache",
            undoable=False,
            annotations={"url": "responder/cache-url", "method": "responder/cache-method"},
            locates=("url",),
        ),
        ActionSpec(
            "supervisor_restart",
            2,
            "supervisord",
            undoable=False,
            annotations={"server": "responder/supervisor-server", "program": "responder/supervisor-program"},
            locates=("server", "program"),
            secrets=frozenset({"password"}),
        ),
        ActionSpec("kubernetes_evict", 2, "kubernetes", undoable=False, annotations=KUBERNETES, locates=_NAMESPACE),
        ActionSpec("kubernetes_restart", 2, "kubernetes", undoable=False, annotations=KUBERNETES, locates=_NAMESPACE),
        ActionSpec(
            "kubernetes_scale",
            2,
            "kubernetes",
            undoable=True,
            annotations={**KUBERNETES, "replicas": "responder/kubernetes-peak-replicas"},
            locates=_NAMESPACE,
        ),
        ActionSpec("kubernetes_rollback", 3, "kubernetes", undoable=True, annotations=KUBERNETES, locates=_NAMESPACE),
        ActionSpec(
            "release_rollback",
            3,
            "release folders",
            undoable=True,
            on_host=True,
            annotations={"root": "responder/release-root"},
            locates=("root",),
        ),
        ActionSpec(
            "haproxy_failover",
            4,
            "haproxy",
            undoable=True,
            annotations={**_HAPROXY, "to": "responder/haproxy-failover-to"},
            locates=tuple(_HAPROXY),
        ),
    )
}

UNDO = ActionSpec("undo", 0, "undo playbook", undoable=False)
"""The step back to the state before an attempt. Only `responder undo` takes it; no module and no task can."""


def spec_of(action: str) -> ActionSpec | None:
    """What the guard must know of an action; None where it is not on the allowlist."""
    return UNDO if action == UNDO.name else ACTIONS.get(action)


COLLECTION = "sre.responder"
READ_ONLY = frozenset({"open_incident", "note", "handoff", "preflight", "blast_radius", "diagnose", "verify"})
"""Steps that record or read; they run under a stop too."""


def short_name(action: str) -> str:
    """`sre.responder.note` as `note`; other names unchanged."""
    return action.removeprefix(COLLECTION + ".")
