"""Who else acts on a workload: GitOps, operators, other healers. Their work is respected, and their name is told."""

from __future__ import annotations

from sre_responder.effects.kubernetes.api import Api
from sre_responder.effects.kubernetes.workload import Workload

ARGO = "argocd.argoproj.io/tracking-id"
FLUX = {"kustomize.toolkit.fluxcd.io/name": "Kustomization", "helm.toolkit.fluxcd.io/name": "HelmRelease"}
HELM = "meta.helm.sh/release-name"


def at_work(api: Api, workload: Workload) -> str | None:
    """Who would undo, or collide with, what is done to the workload; None where nobody is known."""
    for owner in workload.metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{workload.resource} belongs to {owner['kind']} {owner['name']}: change that"
    if tracking := workload.annotations.get(ARGO):
        return f"Argo CD keeps {workload.resource} as Git says (application {tracking.split(':')[0]}): revert it in Git"
    for label, kind in FLUX.items():
        if name := (workload.metadata.get("labels") or {}).get(label):
            return f"Flux keeps {workload.resource} as Git says ({kind} {name}): revert it in Git"
    return None


def warnings(workload: Workload) -> list[str]:
    """What a person should know of who set the workload's fields before."""
    said = []
    if release := workload.annotations.get(HELM):
        said.append(
            f"Helm release {release} does not know of this change: the next upgrade brings back what its chart says"
        )
    appliers = {
        entry["manager"] for entry in workload.metadata.get("managedFields") or () if entry.get("operation") == "Apply"
    }
    if appliers:
        names = ", ".join(sorted(appliers))
        said.append(
            f"server-side apply by {names} will be told of a conflict with sre-responder, and must say who wins"
        )
    return said
