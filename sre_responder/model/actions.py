"""The allowlist: every guarded action, and the steps that only record or read."""

from __future__ import annotations

from sre_responder.model.action_spec import ActionSpec, Rung
from sre_responder.model.allowlist import ACTIONS

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

UNDO = ActionSpec("undo", 0, "undo playbook", undoable=False)
"""The step back to the state before an attempt. Only `responder undo` takes it; no module and no task can."""


MODULE = r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*){2,}"
"""The whole name of a module: namespace.collection.module."""
PERFORM = "perform"
"""The module that carries out one of another collection. That one's name is the action, and the policy holds its spec."""


def spec_of(action: str) -> ActionSpec | None:
    """What the guard must know of an action of our own; `Policy.action` knows those of `perform` too. None where it is not on the allowlist."""
    return UNDO if action == UNDO.name else ACTIONS.get(action)


COLLECTION = "sre.responder"
READ_ONLY = frozenset({"open_incident", "note", "handoff", "preflight", "blast_radius", "diagnose", "verify"})
"""Steps that record or read; they run under a stop too."""


def short_name(action: str) -> str:
    """`sre.responder.note` as `note`; other names unchanged."""
    return action.removeprefix(COLLECTION + ".")


__all__ = [
    "ACTIONS",
    "COLLECTION",
    "KUBERNETES",
    "MODULE",
    "PERFORM",
    "READ_ONLY",
    "UNDO",
    "ActionSpec",
    "Rung",
    "short_name",
    "spec_of",
]
