"""Helm: the release that a workload is of, and whether Helm is in the middle of it. Of its history only the labels are asked for."""

from __future__ import annotations

from sre_responder.effects.kubernetes.api import Api, Resource, label_value
from sre_responder.effects.kubernetes.workload import Workload
from sre_responder.errors import EffectFailed

RELEASE, NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
UNDER_WAY = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


def at_work(api: Api, workload: Workload) -> str | None:
    """What Helm is in the middle of; None where it rests, where it is not Helm's, and where its history may not be looked at."""
    name = workload.annotations.get(RELEASE)
    try:
        newest = _newest(api, workload, name) if name else {}
    except EffectFailed:  # most accounts may not list secrets: `warning` tells it
        return None
    if newest.get("status") not in UNDER_WAY:
        return None
    return f"Helm is in the middle of release {name}: revision {newest.get('version')} is {newest['status']}"


def warning(api: Api, workload: Workload) -> str | None:
    """That Helm will not know of a change, with where its release stands; None where it is not Helm's."""
    if not (name := workload.annotations.get(RELEASE)):
        return None
    try:
        newest = _newest(api, workload, name)
        stands = f"revision {newest['version']}, {newest.get('status')}" if newest else "no history is there"
    except EffectFailed:
        stands = "its history may not be looked at"
    return (
        f"Helm release {name} ({stands}) does not know of this change: the next upgrade brings back what its chart says"
    )


def _newest(api: Api, workload: Workload, release: str) -> dict[str, str]:
    """The labels of the newest revision: Helm keeps each in a secret, and labels it with version and status."""
    namespace = workload.annotations.get(NAMESPACE) or workload.metadata["namespace"]
    query = {"labelSelector": f"owner=helm,name={label_value(release)}"}
    labels = [dict(one["metadata"].get("labels") or {}) for one in api.labels(Resource("Secret", namespace), **query)]
    return max(
        (one for one in labels if one.get("version", "").isdecimal()), key=lambda one: int(one["version"]), default={}
    )
