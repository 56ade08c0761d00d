"""Room for more pods of a workload: what the namespace's quotas and limits leave. Nodes are the scheduler's to judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.rollout import denied
from sre_responder.effects.kubernetes.workload import Workload

COMPUTED = ("cpu", "memory", "ephemeral-storage")
"""What a quota counts under this name, and means the requests."""


def no_room(api: Api, workload: Workload, more: int) -> str | None:
    """Why the API server would refuse one of so many more pods; None where nothing says so."""
    if message := denied(api, workload):
        return f"pods of it are refused now: {message}"
    namespace = workload.metadata["namespace"]
    ranges = [entry for item in api.search(Resource("LimitRange", namespace)) for entry in item["spec"]["limits"]]
    needs = Counter({"pods": Decimal(1), "count/pods": Decimal(1)})
    for container in workload.template["spec"]["containers"]:
        given = _resources(container.get("resources") or {}, ranges)
        if over := _over(given, ranges):
            return over
        needs.update(given)
    for quota in api.search(Resource("ResourceQuota", namespace)) if more > 0 else ():
        if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
            continue  # it counts some pods only
        status = quota.get("status") or {}
        for name, hard in (status.get("hard") or {}).items():
            need = needs[f"requests.{name}" if name in COMPUTED else name]
            left = quantity(hard) - quantity((status.get("used") or {}).get(name, "0"))
            if need * more > left:
                what = f"one more needs {need:f}" if more == 1 else f"{more} more need {need * more:f}"
                return f"ResourceQuota {quota['metadata']['name']} leaves {left:f} of {name}, and {what}"
    return None


def _resources(resources: Mapping[str, Any], ranges: Sequence[Document]) -> dict[str, Decimal]:
    """What a container asks for and may take, with what a LimitRange gives to one that does not say."""
    usual: dict[str, Document] = {"default": {}, "defaultRequest": {}}
    for entry in ranges:
        if entry["type"] == "Container":
            for name, values in usual.items():
                values.update(entry.get(name) or {})
    limits, own = resources.get("limits") or {}, resources.get("requests") or {}
    requests = {**usual["defaultRequest"], **limits, **own}
    return {
        **{f"requests.{name}": quantity(value) for name, value in requests.items()},
        **{f"limits.{name}": quantity(value) for name, value in {**usual["default"], **limits}.items()},
    }


def _over(given: Mapping[str, Decimal], ranges: Sequence[Document]) -> str | None:
    for entry in ranges:
        for name, most in (entry.get("max") or {}).items() if entry["type"] == "Container" else ():
            asked = max(given.get(f"limits.{name}", Decimal(0)), given.get(f"requests.{name}", Decimal(0)))
            if asked > quantity(most):
                return f"a LimitRange allows a container {most} of {name} at most, and one of it has {asked:f}"
    return None


def quantity(text: object) -> Decimal:
    """A quantity as Kubernetes writes it: 500m, 2, 128Mi."""
    from kubernetes.utils.quantity import parse_quantity

    return Decimal(parse_quantity(str(text)))
