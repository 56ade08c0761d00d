"""Options by which an action finds its cluster and workload; one that is not found, or is not the only one, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sre_responder.effects.action import UNDO_WRITTEN, Options, option
from sre_responder.model.actions import KUBERNETES

UNDO_BY_KUBECTL = f"{UNDO_WRITTEN.rstrip('.')}; it needs C(kubectl)."


class ClusterOptions(Options):
    kubeconfig: Path | None = option(
        "Kubeconfig file; otherwise E(KUBECONFIG), the user's own, or inside a pod its own cluster.",
        default=None,
        annotation=KUBERNETES["kubeconfig"],
        locates=True,
    )
    context: str | None = option(
        "Context of the kubeconfig; otherwise its current one.",
        default=None,
        annotation=KUBERNETES["context"],
        locates=True,
    )


class WorkloadOptions(ClusterOptions):
    """A workload is found by its name, a selector or an id, so two ways to one share no more than the namespace for certain."""

    namespace: str = option("Namespace of the workload.", annotation=KUBERNETES["namespace"], locates=True)
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = option(
        "Kind of the workload.", default="Deployment", annotation=KUBERNETES["kind"]
    )
    name: str | None = option(
        "Name of the workload. Without it the workload is found by its labels.",
        default=None,
        annotation=KUBERNETES["name"],
    )
    selector: str | None = option(
        "Label selector that one workload alone matches.", default=None, annotation=KUBERNETES["selector"]
    )
    kubernetes_id: str | None = option(
        "Value of the label C(backstage.io/kubernetes-id) of the workload, where no O(selector) is given.",
        default=None,
        annotation=KUBERNETES["kubernetes_id"],
    )
    timeout_s: float = option("How long to wait for the rollout, in seconds.", default=120.0)
