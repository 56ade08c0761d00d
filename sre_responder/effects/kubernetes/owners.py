"""Who else acts on a workload: GitOps, operators, canaries, other healers. Their work is respected, and their name is told."""

from __future__ import annotations

from sre_responder.effects.kubernetes import gitops, helm, lock
from sre_responder.effects.kubernetes.api import Api, Resource
from sre_responder.effects.kubernetes.workload import Workload


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
        or _gitops(api, workload)
        or helm.at_work(api, workload)
        or _flagger(api, workload)
        or _argo_rollouts(api, workload)
    )


def warnings(api: Api, workload: Workload) -> list[str]:
    """What a person should know of who set the workload's fields before."""
    said = [told for told in (helm.warning(api, workload),) if told]
    if application := gitops.application_of(workload):
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


def _gitops(api: Api, workload: Workload) -> str | None:
    said = [
        f"{keeper.system} keeps {workload.resource} as Git says ({keeper.what}): revert it in Git, or hold it off"
        for keeper in gitops.healing(api, workload)
    ]
    return "; ".join(said) or None


def _flagger(api: Api, workload: Workload) -> str | None:
    for canary in api.known(Resource("Canary", workload.metadata["namespace"])):
        target, phase = canary["spec"]["targetRef"], (canary.get("status") or {}).get("phase", "")
        mine = (target.get("kind"), target.get("name")) == (workload.kind, workload.metadata["name"])
        if mine and phase not in ("Initialized", "Succeeded", "Failed"):
            return f"Flagger's canary {canary['metadata']['name']} of {workload.resource} is {phase or 'unknown'}"
    return None


def _argo_rollouts(api: Api, workload: Workload) -> str | None:
    for rollout in api.known(Resource("Rollout", workload.metadata["namespace"])):
        of = rollout["spec"].get("workloadRef") or {}
        if (of.get("kind"), of.get("name")) == (workload.kind, workload.metadata["name"]):
            return f"{workload.resource} is the template of Rollout {rollout['metadata']['name']}: change that"
    return None
