"""What a pod template refers to: the ConfigMaps and secrets without which its pods do not start. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.effects.kubernetes.api import Document


def references(template: Document) -> set[tuple[str, str]]:
    """The ConfigMaps and secrets without which a pod of this template does not start."""
    spec, found = template["spec"], set()
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for entry in container.get("envFrom") or ():
            found |= {_reference(entry, "configMapRef", "ConfigMap"), _reference(entry, "secretRef", "Secret")}
        for entry in container.get("env") or ():
            source = entry.get("valueFrom") or {}
            found |= {_reference(source, "configMapKeyRef", "ConfigMap"), _reference(source, "secretKeyRef", "Secret")}
    for volume in spec.get("volumes") or ():
        secret = volume.get("secret") or {}
        found |= {_reference(volume, "configMap", "ConfigMap")}
        if secret.get("secretName") and not secret.get("optional"):
            found.add(("Secret", str(secret["secretName"])))
    found |= {("Secret", str(entry["name"])) for entry in spec.get("imagePullSecrets") or ()}
    return {reference for reference in found if reference is not None}


def _reference(source: Mapping[str, Any], field: str, kind: str) -> tuple[str, str] | None:
    entry = source.get(field) or {}
    return (kind, str(entry["name"])) if entry.get("name") and not entry.get("optional") else None
