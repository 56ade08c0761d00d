"""Which object of a service is not as it was when it was good, and is why the service fails: a change that is not is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sre_responder.effects.kubernetes.api import MANAGER, Api, Document, Resource
from sre_responder.effects.kubernetes.autoscaler import autoscalers
from sre_responder.effects.kubernetes.front import (
    admits,
    endpoints,
    isolates,
    labels_of,
    leads_to,
    lets_in,
    ports_of,
    targets_of,
)
from sre_responder.effects.kubernetes.grounds import RECENT_SECONDS
from sre_responder.effects.kubernetes.known_good import RESTORES, Good, difference, fresh, good_of, part_of, remembered
from sre_responder.effects.kubernetes.references import references
from sre_responder.effects.kubernetes.revisions import history, since
from sre_responder.effects.kubernetes.rollout import denied, failing, live
from sre_responder.effects.kubernetes.suspects import last_write
from sre_responder.effects.kubernetes.workload import Workload, condition, content, rolled_out, selects
from sre_responder.model.known_good import KnownGood

_QUOTA = re.compile(r"(?:exceeded|failed) quota: ([a-z0-9.-]+)")


@dataclass(frozen=True)
class Culprit:
    """One object that is not as it was; `now` is None where it was deleted."""

    kind: str
    name: str
    now: Workload | None
    good: Good
    why: str
    sure: bool
    """Whether it keeps users from the service as it is now, and would not as it was; else it was only changed."""

    @property
    def field(self) -> str:
        """The field that tells who last wrote what is restored; empty for the object as a whole."""
        return "" if self.kind == "ConfigMap" else RESTORES[self.kind][0]

    @property
    def written(self) -> Document:
        """The API's own note of the last write of what is restored; empty if the object is gone."""
        return last_write(self.now.document, self.field) if self.now else {}


@dataclass(frozen=True)
class Scene:
    """A workload, and how its service was when it was healthy."""

    api: Api
    workload: Workload
    known: KnownGood | None

    def all_of(self, kind: str) -> list[Workload]:
        place = Resource(kind, "" if kind == "Node" else self.workload.metadata["namespace"])
        return [Workload(kind, {"kind": kind, **one}) for one in self.api.search(place)]

    def remembered(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """What was there of a kind when the service was healthy, by name."""
        known = fresh(self.known)
        objects = known.objects if known else {}
        return {name.partition("/")[2]: one for name, one in objects.items() if name.startswith(f"{kind}/")}

    def differs(self, now: Workload) -> Good | None:
        """How an object was; None where it is as it was, or where nothing says."""
        good = good_of(self.api, now, self.known)
        return good if good and difference(part_of(now.document, now.kind), good) else None

    def says(self, now: Workload) -> bool:
        """Whether anything says how an object was."""
        return good_of(self.api, now, self.known) is not None

    def deleted(self, kind: str, name: str, why: str, *, sure: bool = True) -> Culprit:
        known = fresh(self.known)
        assert known is not None
        kept = dict(known.objects[f"{kind}/{name}"])
        good = Good(part_of(kept, kind), remembered(known), document=kept)
        return Culprit(kind, name, None, good, why, sure)


def culprits(scene: Scene) -> list[Culprit]:
    """What to restore, the surest first. What Responder itself has set is not among it: that is contained, and has its own undo.

    What was only changed counts where the workload itself is well.
    """
    looks = (_count, _services, _policies, _limits, _autoscaler, _settings, _nodes)
    found = [one for look in looks for one in look(scene) if not _ours(one)]
    sure = [one for one in found if one.sure]
    if sure or not rolled_out(scene.workload) or failing(scene.workload, live(scene.api, scene.workload)):
        return sure
    made = since(history(scene.api, scene.workload))
    changed = [one for one in found if _lately(scene, one) and _apart(scene, one, made)]
    return sorted(changed, key=lambda one: str(one.written.get("time", "")), reverse=True)


def _lately(scene: Scene, one: Culprit) -> bool:
    """Whether it was changed in the last hour: of a service that nobody has measured for days, an older change is what its team wanted."""
    ago = _time(datetime.now(UTC).timestamp() - RECENT_SECONDS)
    healthy = _time(scene.known.at) if scene.known and one.good.whole else ""
    return max(str(one.written.get("time", "")), healthy) > ago


def _apart(scene: Scene, one: Culprit, made: str) -> bool:
    """Whether it was not released together with the template: changed after it, or while pods ran what they ran when all was well."""
    same = scene.known is not None and scene.known.template == content(scene.workload.template)
    return (one.good.whole and same) or str(one.written.get("time", "")) > made


def _time(seconds: float) -> str:
    """A time as the API writes it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ours(one: Culprit) -> bool:
    return one.written.get("manager") == MANAGER


def _found(now: Workload, good: Good, why: str, *, sure: bool) -> Culprit:
    return Culprit(now.kind, now.metadata["name"], now, good, why, sure)


def _count(scene: Scene) -> Iterator[Culprit]:
    workload = scene.workload
    if workload.kind not in RESTORES or not (good := scene.differs(workload)):
        return
    wanted, now = int((good.part.get("spec") or {}).get("replicas") or 0), workload.replicas
    if wanted > now and (not now or not autoscalers(scene.api, workload)):
        yield _found(workload, good, f"is scaled to {now}, and had {wanted}", sure=not now)


def _services(scene: Scene) -> Iterator[Culprit]:
    labels, ports = labels_of(scene.workload), ports_of(scene.workload)
    ready = endpoints(scene.api, scene.workload)
    there = scene.all_of("Service")

    def cures(good: Mapping[str, Any]) -> bool:
        service = dict(good)
        return bool(service.get("spec")) and leads_to(service, labels) and (not ports or targets_of(service) <= ports)

    for one in there:
        good = scene.differs(one)
        if good is None or not cures(good.part):
            continue
        if not leads_to(one.document, labels):
            yield _found(one, good, "does not select its pods", sure=True)
        elif ports and targets_of(one.document) - ports:
            wrong = ", ".join(sorted(targets_of(one.document) - ports))
            yield _found(one, good, f"leads to port {wrong}, where its pods do not listen", sure=True)
        else:
            empty = scene.workload.available and not ready.get(one.metadata["name"], 0)
            yield _found(one, good, "has no endpoint" if empty else "was changed", sure=bool(empty))
    led = any(leads_to(one.document, labels) for one in there)
    for name, kept in scene.remembered("Service").items():
        if name not in {one.metadata["name"] for one in there} and cures(kept):
            yield scene.deleted("Service", name, "was deleted", sure=not led)


def _policies(scene: Scene) -> Iterator[Culprit]:
    labels, ports = labels_of(scene.workload), ports_of(scene.workload)
    there = scene.all_of("NetworkPolicy")
    policies = [one for one in there if selects(one.spec.get("podSelector") or {}, labels)]
    shut = not lets_in([one.spec for one in policies], ports)
    for one in policies:
        sure = shut and isolates(one.spec)
        if good := scene.differs(one):
            yield _found(one, good, "lets no request in to its pods" if sure else "was changed", sure=sure)
        elif aside := _aside(scene, one):
            yield _found(one, aside, "is new" + (", and lets no request in to its pods" if sure else ""), sure=sure)
    names = {one.metadata["name"] for one in there}
    for name, kept in scene.remembered("NetworkPolicy").items():
        if shut and name not in names and admits(kept.get("spec") or {}, ports):
            yield scene.deleted("NetworkPolicy", name, "let requests in, and was deleted")


def _aside(scene: Scene, policy: Workload) -> Good | None:
    """A policy that did not exist when the service was healthy, without its hold on these pods: it stays for all others."""
    known = fresh(scene.known)
    if not known or "NetworkPolicy" not in known.looked or f"NetworkPolicy/{policy.metadata['name']}" in known.objects:
        return None
    own = labels_of(scene.workload)
    others = [one for one in scene.api.search(Resource("Pod", policy.metadata["namespace"])) if not _has(one, own)]
    alone = (key for key, value in sorted(own.items()) if not any(_has(pod, {key: value}) for pod in others))
    if not (key := next(alone, "")):
        return None
    spec = policy.spec
    but = {"key": key, "operator": "NotIn", "values": [own[key]]}
    selector = spec.get("podSelector") or {}
    selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), but]}
    return Good({"spec": {**spec, "podSelector": selector}}, f"{remembered(known)}, when it did not exist")


def _has(pod: Document, labels: Mapping[str, str]) -> bool:
    return labels.items() <= (pod["metadata"].get("labels") or {}).items()


def _limits(scene: Scene) -> Iterator[Culprit]:
    if not (message := denied(scene.api, scene.workload)):
        return
    named = _QUOTA.findall(message)
    for one in scene.all_of("ResourceQuota" if named else "LimitRange"):
        if (not named or one.metadata["name"] in named) and (good := scene.differs(one)):
            yield _found(one, good, f"refuses its pods: {message}", sure=True)


def _autoscaler(scene: Scene) -> Iterator[Culprit]:
    for document in autoscalers(scene.api, scene.workload):
        one = Workload("HorizontalPodAutoscaler", document)
        if good := scene.differs(one):
            most, had = int(one.spec["maxReplicas"]), int((good.part.get("spec") or {}).get("maxReplicas") or 0)
            held = scene.workload.replicas >= most and had > most
            yield _found(one, good, f"holds it at {most} pods, and allowed {had}" if held else "was changed", sure=held)


def _settings(scene: Scene) -> Iterator[Culprit]:
    names = {name for kind, name in references(scene.workload.template) if kind == "ConfigMap"}
    there = {one.metadata["name"]: one for one in scene.all_of("ConfigMap") if one.metadata["name"] in names}
    for one in there.values():
        if good := scene.differs(one):
            yield _found(one, good, "was changed", sure=False)
    for name in sorted(names & scene.remembered("ConfigMap").keys() - there.keys()):
        yield scene.deleted("ConfigMap", name, "which its pods need, was deleted")


def _nodes(scene: Scene) -> Iterator[Culprit]:
    """Nodes on which its pods were, and that somebody has cordoned since, where no other takes them."""
    troubles = failing(scene.workload, live(scene.api, scene.workload)).values()
    if not any(one.kind == "unschedulable" and "were unschedulable" in one.text for one in troubles):
        return
    kept = scene.remembered("Node")
    for one in scene.all_of("Node") if kept else ():
        well = condition(one.document, "Ready").get("status") == "True"
        if well and one.metadata["name"] in kept and (good := scene.differs(one)):
            yield _found(one, good, "takes no pods, and none else has room for them", sure=True)
