"""Who else acts on a workload: GitOps, operators, canaries, other healers. Their work is respected, and their name is told."""

from __future__ import annotations

from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import Workload
from sre_responder.errors import InputError

ARGO = "argocd.argoproj.io/tracking-id"
ARGO_LABEL = "argocd.argoproj.io/instance"
FLUX = {"Kustomization": "kustomize.toolkit.fluxcd.io", "HelmRelease": "helm.toolkit.fluxcd.io"}
HELM = "meta.helm.sh/release-name"


def at_work(api: Api, workload: Workload) -> str | None:
    """Who would undo, or collide with, what is done to the workload; None where nobody is known.

    A holder that leaves a mark on the workload and cannot be read itself counts as at work.
    """
    metadata = workload.metadata
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{workload.resource} belongs to {owner['kind']} {owner['name']}: change that"
    return (
        lock.holder(api, workload)
        or _argo_cd(api, workload)
        or _flux(api, workload)
        or _flagger(api, workload)
        or _argo_rollouts(api, workload)
    )


def warnings(workload: Workload) -> list[str]:
    """What a person should know of who set the workload's fields before."""
    said = []
    if release := workload.annotations.get(HELM):
        said.append(
            f"Helm release {release} does not know of this change: the next upgrade brings back what its chart says"
        )
    if application := _argo_application(workload):
        said.append(f"Argo CD application {application} is out of sync until Git says the same")
    appliers = {
        entry["manager"] for entry in workload.metadata.get("managedFields") or () if entry.get("operation") == "Apply"
    }
    if appliers:
        names = ", ".join(sorted(appliers))
        said.append(
            f"server-side apply by {names} will be told of a conflict with sre-responder, and must say who wins"
        )
    return said


def _labels(workload: Workload) -> dict[str, str]:
    return dict(workload.metadata.get("labels") or {})


def _argo_application(workload: Workload) -> str | None:
    tracking = workload.annotations.get(ARGO)
    return tracking.split(":")[0] if tracking else _labels(workload).get(ARGO_LABEL)


def _argo_cd(api: Api, workload: Workload) -> str | None:
    """An application that heals itself puts back within seconds what Git says; one that does not is only out of sync."""
    name = _argo_application(workload)
    if name is None:
        return None
    known = [one for one in _all(api, Resource("Application", "")) if one["metadata"]["name"] == name]
    automated = [(one["spec"].get("syncPolicy") or {}).get("automated") for one in known]
    if known and not any(policy is not None and policy.get("selfHeal") for policy in automated):
        return None
    return f"Argo CD keeps {workload.resource} as Git says (application {name}): revert it in Git"


def _flux(api: Api, workload: Workload) -> str | None:
    for kind, group in FLUX.items():
        name, namespace = (_labels(workload).get(f"{group}/{part}") for part in ("name", "namespace"))
        if name is None or workload.annotations.get(f"{group}/reconcile") == "disabled":
            continue
        try:
            holder = api.get(Resource(kind, namespace or workload.metadata["namespace"], name))
        except InputError:
            holder = {"spec": {}}  # it left its mark, and may be elsewhere
        if not holder["spec"].get("suspend"):
            return f"Flux keeps {workload.resource} as Git says ({kind} {name}): revert it in Git, or suspend it"
    return None


def _flagger(api: Api, workload: Workload) -> str | None:
    for canary in _all(api, Resource("Canary", workload.metadata["namespace"])):
        target, phase = canary["spec"]["targetRef"], (canary.get("status") or {}).get("phase", "")
        mine = (target.get("kind"), target.get("name")) == (workload.kind, workload.metadata["name"])
        if mine and phase not in ("Initialized", "Succeeded", "Failed"):
            return f"Flagger's canary {canary['metadata']['name']} of {workload.resource} is {phase or 'unknown'}"
    return None


def _argo_rollouts(api: Api, workload: Workload) -> str | None:
    for rollout in _all(api, Resource("Rollout", workload.metadata["namespace"])):
        of = rollout["spec"].get("workloadRef") or {}
        if (of.get("kind"), of.get("name")) == (workload.kind, workload.metadata["name"]):
            return f"{workload.resource} is the template of Rollout {rollout['metadata']['name']}: change that"
    return None


def _all(api: Api, resource: Resource) -> list[Document]:
    """Every object of a kind; none where the cluster does not know the kind."""
    try:
        return api.search(resource)
    except InputError:
        return []
