"""Targets that a milder environment shares with a stricter one as the catalogue is written: every run for it is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sre_responder.home.annotations import hosts_of
from sre_responder.home.catalogue import Service, one_spelling
from sre_responder.model.actions import ACTIONS
from sre_responder.model.names import ENVIRONMENTS

_LOCATED = sorted(
    {
        (spec.platform, spec.on_host, tuple(spec.annotations[option] for option in spec.locates))
        for spec in ACTIONS.values()
        if spec.platform != "kubernetes" or "namespace" in spec.locates  # nodes are no service's own
    }
)
"""Each platform with the annotations that lead to a target of it; the last of them names the target itself."""
_REACHED = {
    spec.platform: tuple(spec.annotations[option] for option in spec.reaches if option in spec.annotations)
    for spec in ACTIONS.values()
}
"""Those by which each platform is reached, such as an account: one name in two accounts is two targets."""


@dataclass(frozen=True)
class Shared:
    """One service in one environment, and whose target it has there."""

    service: str
    environment: str
    stricter: str
    platform: str
    keys: tuple[str, ...]

    @property
    def problem(self) -> str:
        return f"{self.service} in {self.environment} has the {self.platform} of {self.stricter}, so every run for it is refused"

    @property
    def cure(self) -> str:
        own = ", ".join(f"{self.environment}.{key}" for key in self.keys)
        return f"Give it its own {own}, or leave {self.environment} out of responder/environments."


@dataclass(frozen=True)
class _Way:
    service: str
    environment: str
    hosts: frozenset[str]
    platform: str
    on_host: bool
    keys: tuple[str, ...]


def shared(services: Iterable[Service]) -> list[Shared]:
    """Each of them once for a platform. What only a run knows, such as another address of one machine, is not seen here."""
    ways: dict[tuple[str, ...], list[_Way]] = defaultdict(list)
    for place, way in _ways(services):
        ways[place].append(way)
    found: dict[tuple[str, str, str], Shared] = {}
    for group in ways.values():
        group.sort(key=lambda way: -ENVIRONMENTS.index(way.environment))
        for way in group:
            other = next((one for one in group if _is_stricter(one, way)), None)
            if other is not None:
                one = Shared(
                    way.service, way.environment, f"{other.service} in {other.environment}", way.platform, way.keys
                )
                found.setdefault((way.service, way.environment, way.platform), one)
    return sorted(found.values(), key=lambda one: (one.service, one.environment, one.platform))


def _ways(services: Iterable[Service]) -> Iterator[tuple[tuple[str, ...], _Way]]:
    """How each service is reached in each environment: the place, in one spelling."""
    for service in services:
        for environment in service.environments:
            way = service.reached(environment)
            hosts = frozenset(hosts_of(way))
            for platform, on_host, keys in _LOCATED:
                if way.get(keys[-1]):
                    place = (platform, *(one_spelling(way.get(key)) for key in (*_REACHED[platform], *keys)))
                    yield place, _Way(service.name, environment, hosts, platform, on_host, keys)


def _is_stricter(one: _Way, than: _Way) -> bool:
    apart = one.on_host and one.hosts and than.hosts and one.hosts.isdisjoint(than.hosts)
    return not apart and ENVIRONMENTS.index(one.environment) > ENVIRONMENTS.index(than.environment)
