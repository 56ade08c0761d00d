"""The Services of a workload, and how many addresses are behind each. Read-only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.workload import SERVICE_LABEL, Workload

SLICE_OF = "kubernetes.io/service-name"


def services(api: Api, workload: Workload) -> list[Document]:
    """The Services that are the workload's: those that select its pods, and those that were meant to, by name or by label."""
    name, mark = workload.metadata["name"], workload.labels.get(SERVICE_LABEL)
    labels = labels_of(workload)

    def meant(service: Document) -> bool:
        metadata = service["metadata"]
        return metadata["name"] == name or bool(mark and (metadata.get("labels") or {}).get(SERVICE_LABEL) == mark)

    found = api.search(Resource("Service", workload.metadata["namespace"]))
    return [one for one in found if one["spec"].get("selector") and (leads_to(one, labels) or meant(one))]


def labels_of(workload: Workload) -> dict[str, str]:
    """The labels of the pods of its newest template."""
    return dict((workload.template.get("metadata") or {}).get("labels") or {})


def ports_of(workload: Workload) -> set[str]:
    """The ports that the containers say they listen on, by number and by name."""
    declared = [port for one in workload.template["spec"]["containers"] for port in one.get("ports") or ()]
    return {str(port[key]) for port in declared for key in ("containerPort", "name") if key in port}


def targets_of(service: Document) -> set[str]:
    """The ports of pods to which a Service leads."""
    return {str(port.get("targetPort", port["port"])) for port in service["spec"].get("ports") or ()}


def isolates(policy: Mapping[str, Any]) -> bool:
    """Whether by the spec of a NetworkPolicy only those come in whom a policy lets in."""
    return "Ingress" in (policy.get("policyTypes") or ["Ingress"])


def lets_in(policies: Sequence[Mapping[str, Any]], ports: set[str]) -> bool:
    """Whether requests come in to these ports of pods that these policies select: what one lets in, no other takes back."""
    isolating = [one for one in policies if isolates(one)]
    return not isolating or any(admits(one, ports) for one in isolating)


def admits(spec: Mapping[str, Any], ports: set[str]) -> bool:
    """Whether a policy lets anybody in to one of these ports; whom it lets in, it knows by labels that may be anybody's."""
    return any(
        not rule.get("ports") or any(_covers(port, ports) for port in rule["ports"])
        for rule in spec.get("ingress") or ()
    )


def _covers(port: Mapping[str, Any], ports: set[str]) -> bool:
    first = port.get("port")
    if first is None or not ports:
        return True
    if isinstance(first, int) and "endPort" in port:
        return any(name.isdecimal() and first <= int(name) <= port["endPort"] for name in ports)
    return str(first) in ports


def leads_to(service: Document, labels: dict[str, str]) -> bool:
    """Whether a Service selects pods with these labels; one without a selector selects none."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels.items()


def endpoints(api: Api, workload: Workload) -> dict[str, int]:
    """How many addresses are ready behind each of its Services."""
    ready = Counter[str]()
    for piece in api.search(Resource("EndpointSlice", workload.metadata["namespace"])):
        behind = [(one.get("conditions") or {}).get("ready") is True for one in piece.get("endpoints") or ()]
        ready[(piece["metadata"].get("labels") or {}).get(SLICE_OF, "")] += sum(behind)
    return {name: ready[name] for name in (one["metadata"]["name"] for one in services(api, workload))}
