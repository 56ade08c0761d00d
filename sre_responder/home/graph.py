"""The service graph: what the catalogue declares and what was observed, merged, and how far a change to a service reaches."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sre_responder.home.annotations import MESH
from sre_responder.home.catalogue import Catalogue
from sre_responder.home.dependencies import Dependencies
from sre_responder.home.observed import Seen


@dataclass(frozen=True)
class Radius:
    """What a change to one service may reach: its dependents, and its neighbours within two hops."""

    service: str
    downstream: tuple[str, ...]
    neighbours: tuple[str, ...]
    tier_0: tuple[str, ...] = ()
    """Of the service and its dependents, those that everything hangs on."""
    traffic: float | None = None
    """Share of all observed calls that go to the service or its dependents; None if no calls were observed."""
    unknown: str = ""
    """Why more may be reached than is known here."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "service": self.service, "downstream": list(self.downstream), "neighbours": list(self.neighbours),
            "tier_0": list(self.tier_0), "traffic": self.traffic, "unknown": self.unknown,
        }  # fmt: skip

    def __str__(self) -> str:
        tier_0 = f", {len(self.tier_0)} of tier 0" if self.tier_0 else ""
        traffic = "" if self.traffic is None else f", {self.traffic:.0%} of observed traffic"
        services = "1 service" if len(self.downstream) == 1 else f"{len(self.downstream)} services"
        return f"{services} downstream{tier_0}{traffic}"


class Edge(NamedTuple):
    """That one service needs another: whether the catalogue says so, and when each source last saw it."""

    user: str
    needed: str
    declared: bool
    seen: Mapping[str, float]

    @property
    def one_sided(self) -> bool:
        return not (self.declared and self.seen)


class Graph:
    """Both sides in one; `observed` is what each source has shown, by its name."""

    def __init__(self, catalogue: Catalogue, observed: Mapping[str, Seen] | None = None) -> None:
        self.catalogue, self.observed = catalogue, observed or {}
        self.seen: dict[str, dict[str, dict[str, float]]] = {}
        """By source, who calls whom, and when that was last."""
        self.received: dict[str, dict[str, float]] = {}
        """By source, the calls per second that each service receives."""
        known = _known(catalogue)
        for source, one in self.observed.items():
            received, seen = defaultdict[str, float](float), defaultdict[str, dict[str, float]](dict)
            self.received[source], self.seen[source] = received, seen
            for caller, callee, per_second, at in one.calls:
                for needed in known(callee):
                    received[needed] += per_second
                    for user in known(caller) if caller else ():
                        if user != needed:
                            seen[user][needed] = at

    @cached_property
    def dependencies(self) -> Dependencies:
        needs: dict[str, set[str]] = defaultdict(
            set, {name: {*needed} for name, needed in self.catalogue.needs.items()}
        )
        for seen in self.seen.values():
            for user, needed in seen.items():
                needs[user] |= needed.keys()
        return Dependencies(needs)

    def radius(self, name: str) -> Radius:
        """Who is downstream of a change to `name` (depends on it), and who stands within two hops."""
        services = self.catalogue.services
        self.catalogue.service(name)
        downstream = self.dependencies.downstream(name)
        affected = (name, *downstream)
        tier_0 = tuple(one for one in affected if one in services and services[one].tier_0)
        return Radius(name, downstream, self.dependencies.neighbours(name, hops=2), tier_0, self._traffic(affected))

    def _traffic(self, affected: tuple[str, ...]) -> float | None:
        """By the source that shows the largest share: one that samples counts less of everything."""
        totals = [(received, total) for received in self.received.values() if (total := sum(received.values())) > 0]
        return max((sum(received.get(one, 0) for one in affected) / total for received, total in totals), default=None)

    def edges(self) -> Iterator[Edge]:
        """Every dependency with where it is known from, in order."""
        needs = self.dependencies.needs
        return (self.edge(user, needed) for user in sorted(needs) for needed in sorted(needs[user]))

    def edge(self, user: str, needed: str) -> Edge:
        """What is known of that dependency."""
        calls = {source: seen.get(user, {}) for source, seen in self.seen.items()}
        seen_at = {source: called[needed] for source, called in calls.items() if needed in called}
        return Edge(user, needed, needed in self.catalogue.needs.get(user, ()), seen_at)


def _known(catalogue: Catalogue) -> Callable[[str], tuple[str, ...]]:
    """The services that a source means by a name, NAMESPACE/NAME or NAME; the name itself if the catalogue has none.

    A service that `responder/mesh-name` names otherwise is not meant by its own name.
    """
    claimed: dict[str, set[str]] = defaultdict(set)
    for service in catalogue.services.values():
        told = " ".join(value for key, value in service.annotations.items() if key.endswith(MESH))
        for name in re.split(r"[,\s]+", told.strip()) if told.strip() else [service.name]:
            claimed[name.lower()].add(service.name)
    found: dict[str, tuple[str, ...]] = {}

    def known(name: str) -> tuple[str, ...]:
        if name not in found:
            whole = name.lower()
            found[name] = tuple(claimed.get(whole) or claimed.get(whole.rpartition("/")[2]) or (name,))
        return found[name]

    return known
