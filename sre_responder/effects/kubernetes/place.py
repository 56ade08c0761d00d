"""Whether two ways lead to one cluster and namespace, through whatever kubeconfig and context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.effects.effect import Change
from sre_responder.effects.kubernetes.kubeconfig import server
from sre_responder.model.address import one


def same_namespace(change: Change, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """A workload is found by its name, a selector or an id, so two ways to one share no more than the namespace for certain."""
    return other.get("namespace") in (None, own["namespace"]) and same_cluster(change, own, other)


def same_cluster(change: Change, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """By the address of the API server. A file that is not here, or may not be read, leads to no cluster from here."""
    mine, its = ((way.get("kubeconfig"), way.get("context")) for way in (own, other))
    if mine == its:
        return True
    first, second = server(*mine), server(*its)
    return first is not None and second is not None and one(first, second)
