"""Helm: the release that an object is of, whether Helm is in the middle of it, and how the release has the object."""

from __future__ import annotations

import base64
import gzip
import json

import yaml

from sre_responder.effects.kubernetes.api import Api, Document, Resource, label_value
from sre_responder.effects.kubernetes.workload import Workload
from sre_responder.errors import EffectFailed, ResponderError

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


def manifest(api: Api, workload: Workload) -> Document | None:
    """The object as the deployed release has it; None where it is not Helm's, or where the release may not be read.

    A release is a Secret that holds all its objects: what else is in it is not kept.
    """
    if not (name := workload.annotations.get(RELEASE)):
        return None
    namespace = workload.annotations.get(NAMESPACE) or workload.metadata["namespace"]
    try:
        version = _newest(api, workload, name, status="deployed")["version"]
        secret = api.get(Resource("Secret", namespace, f"sh.helm.release.v1.{name}.v{version}"))
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        documents = list(yaml.safe_load_all(json.loads(gzip.decompress(packed))["manifest"]))
    except (ResponderError, ValueError, KeyError, OSError, EOFError, yaml.YAMLError):
        return None
    mine = (one for one in documents if isinstance(one, dict) and one.get("kind") == workload.kind)
    return next((one for one in mine if (one.get("metadata") or {}).get("name") == workload.metadata["name"]), None)


def _newest(api: Api, workload: Workload, release: str, status: str = "") -> dict[str, str]:
    """The labels of the newest revision: Helm keeps each in a secret, and labels it with version and status."""
    namespace = workload.annotations.get(NAMESPACE) or workload.metadata["namespace"]
    query = {"labelSelector": f"owner=helm,name={label_value(release)}" + (f",status={status}" if status else "")}
    labels = [dict(one["metadata"].get("labels") or {}) for one in api.labels(Resource("Secret", namespace), **query)]
    return max(
        (one for one in labels if one.get("version", "").isdecimal()), key=lambda one: int(one["version"]), default={}
    )
