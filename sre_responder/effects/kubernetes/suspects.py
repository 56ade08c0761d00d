"""What may keep users from a service beside its newest template: what leads to its pods, lets requests in, and what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sre_responder.effects.kubernetes.api import Api, Document, Resource
from sre_responder.effects.kubernetes.front import (
    endpoints,
    isolates,
    labels_of,
    leads_to,
    lets_in,
    ports_of,
    services,
    targets_of,
)
from sre_responder.effects.kubernetes.references import references
from sre_responder.effects.kubernetes.rollout import denied
from sre_responder.effects.kubernetes.workload import Workload, changed_at, selects
from sre_responder.errors import InputError, ResponderError


@dataclass(frozen=True)
class Suspect:
    """One object, and what is wrong with it."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}"


def suspects(api: Api, workload: Workload, since: str) -> list[Suspect]:
    """What is wrong by itself, and what was changed after `since`, a time of the API: when the newest template was made."""
    looks = (_wanted, _refused, _front, _policies, given)
    return [suspect for look in looks for suspect in look(api, workload, since)]


def _wanted(api: Api, workload: Workload, since: str) -> Iterator[Suspect]:
    if workload.kind != "DaemonSet" and not workload.replicas:
        yield Suspect(str(workload.resource), "is scaled to zero")


def _refused(api: Api, workload: Workload, since: str) -> Iterator[Suspect]:
    if message := denied(api, workload):
        yield Suspect(str(workload.resource), f"is refused its pods by the API server: {message}")


def _front(api: Api, workload: Workload, since: str) -> Iterator[Suspect]:
    """Services that lead nowhere, or elsewhere; none where the pods listen."""
    labels, ports = labels_of(workload), ports_of(workload)
    mine = services(api, workload)
    ready = endpoints(api, workload)
    if not mine and ports and not _on_host_ports(workload):
        listens = ", ".join(sorted(name for name in ports if name.isdecimal()))
        yield Suspect(str(workload.resource), f"listens on {listens}, and no Service leads to its pods")
    for service in mine:
        name = f"Service {service['metadata']['name']}"
        if not leads_to(service, labels):
            yield Suspect(name, f"selects {_words(service['spec']['selector'])}, and the pods have {_words(labels)}")
        elif not ready[service["metadata"]["name"]] and workload.available:
            yield Suspect(name, "has no endpoint that is ready, although pods serve")
        elif ports and (wrong := sorted(targets_of(service) - ports)):
            yield Suspect(name, f"leads to port {', '.join(wrong)}, and the pods listen on {', '.join(sorted(ports))}")
        elif changed := _changed(service, since):
            yield Suspect(name, changed)


def _policies(api: Api, workload: Workload, since: str) -> Iterator[Suspect]:
    """Network policies that let nobody in, or that are newer than the template."""
    there, labels = api.search(Resource("NetworkPolicy", workload.metadata["namespace"])), labels_of(workload)
    mine = [policy for policy in there if selects(policy["spec"].get("podSelector") or {}, labels)]
    shut = not lets_in([policy["spec"] for policy in mine], ports_of(workload))
    for policy in mine:
        name = f"NetworkPolicy {policy['metadata']['name']}"
        if shut and isolates(policy["spec"]):
            yield Suspect(name, f"lets no request in to the pods {written_by(policy)}")
        elif changed := _changed(policy, since):
            yield Suspect(name, changed)


def given(api: Api, workload: Workload, since: str) -> list[Suspect]:
    """ConfigMaps and Secrets without which the pods do not start: gone, or changed since. Only their metadata is read."""
    found = []
    for kind, name in sorted(references(workload.template)):
        try:
            metadata = api.metadata(Resource(kind, workload.metadata["namespace"], name))
        except InputError:
            found.append(Suspect(f"{kind} {name}", "which the pods need, does not exist"))
            continue
        except ResponderError:  # the right to read them may be withheld: a plan warns of that
            continue
        if changed := _changed(metadata, since):
            found.append(Suspect(f"{kind} {name}", changed))
    return found


def _on_host_ports(workload: Workload) -> bool:
    """Whether its pods are reached at their nodes, past any Service."""
    spec = workload.template["spec"]
    declared = [port for one in spec["containers"] for port in one.get("ports") or ()]
    return bool(spec.get("hostNetwork")) or any("hostPort" in port for port in declared)


def _changed(document: Document, since: str) -> str:
    """That an object was changed after `since`, by whom and when; empty if it was not."""
    return (
        f"was changed {written_by(document)}, after the newest template was made ({since})"
        if changed_at(document) > since
        else ""
    )


def written_by(document: Document, field: str = "") -> str:
    """Who last wrote an object, or a field of it, and when."""
    last = last_write(document, field)
    return f"by {last.get('manager', 'somebody')} at {last.get('time', 'a time not known')}"


def last_write(document: Document, field: str = "") -> Document:
    """The API's own note of the last write of an object itself, or of one field (`spec.replicas`); empty if there is none."""
    notes = document["metadata"].get("managedFields") or ()
    mine = [one for one in notes if (_has(one, field) if field else not one.get("subresource"))]
    return max(mine, key=lambda one: one.get("time") or "", default={})


def _has(note: Document, field: str) -> bool:
    place = note.get("fieldsV1") or {}
    return all((place := place.get(f"f:{name}")) is not None for name in field.split("."))


def _words(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
