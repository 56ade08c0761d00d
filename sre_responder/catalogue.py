"""The service catalogue: Backstage documents, their graph, and how far a change reaches."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sre_responder import names
from sre_responder.documents import read_documents, validated
from sre_responder.errors import InputError

if TYPE_CHECKING:
    from sre_responder.dependencies import Dependencies

Tier = Literal["edge", "middleware", "backend"]


class _Metadata(BaseModel):
    name: str
    annotations: dict[str, str] = Field(default_factory=dict)


class _Spec(BaseModel):
    owner: str = "unknown"
    dependsOn: list[str] = Field(default_factory=list)


class _Component(BaseModel):
    """One Backstage Component; fields that Responder does not use are left to Backstage."""

    model_config = ConfigDict(extra="ignore")
    metadata: _Metadata
    spec: _Spec = Field(default_factory=_Spec)


@dataclass(frozen=True)
class Service:
    """One service: who owns it, what it needs, and how its platforms are reached (annotations `responder/...`)."""

    name: str
    owner: str
    tier: Tier | None
    depends_on: tuple[str, ...]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Radius:
    """What a change to one service may reach: its dependents, and its neighbours within two hops."""

    service: str
    downstream: tuple[str, ...]
    neighbours: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"service": self.service, "downstream": list(self.downstream), "neighbours": list(self.neighbours)}


class Catalogue:
    """All services and the graph of what depends on what."""

    def __init__(self, services: Mapping[str, Service], source: Path) -> None:
        self.services = services
        self.source = source

    @cached_property
    def dependencies(self) -> Dependencies:
        """The graph, made when it is first asked for."""
        from sre_responder.dependencies import Dependencies

        return Dependencies({service.name: service.depends_on for service in self.services.values()})

    def service(self, name: str) -> Service:
        """The service of that name; InputError with near matches where there is none."""
        names.service(name)
        if name not in self.services:
            near = difflib.get_close_matches(name, self.services, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else f"Add it to {self.source}."
            raise InputError(f"service '{names.shown(name)}' is not in the catalogue {self.source}.", cure=hint)
        return self.services[name]

    def cycles(self) -> list[list[str]]:
        """Services that depend on themselves through others."""
        return self.dependencies.cycles()

    def radius(self, name: str) -> Radius:
        """Who is downstream of a change to `name` (depends on it), and who stands within two hops."""
        self.service(name)
        return Radius(name, self.dependencies.downstream(name), self.dependencies.neighbours(name, hops=2))


def load(path: Path) -> Catalogue:
    """The catalogue of a file or of every YAML file in a folder."""
    files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
    services: dict[str, Service] = {}
    places: dict[str, str] = {}
    for file in files:
        for value, node in read_documents(file):
            if not isinstance(value, dict) or value.get("kind") != "Component":
                continue  # Backstage folders also hold Groups, APIs, Systems
            component = validated(_Component, value, file, node)
            place = f"{file}:{node.start_mark.line + 1}"
            name = _named(component.metadata.name, place)
            if name in services:
                raise InputError(f"{place}: service '{name}' is defined twice.", cure="Keep one definition.")
            tier = component.metadata.annotations.get("responder/tier")
            if tier not in (None, "edge", "middleware", "backend"):
                raise InputError(f"{place}: responder/tier '{names.shown(tier)}' is not edge, middleware or backend.")
            needs = tuple(
                _named(reference.rpartition(":")[2].rpartition("/")[2], place)
                for reference in component.spec.dependsOn
                if not reference.startswith("resource:")
            )
            places[name] = place
            services[name] = Service(name, component.spec.owner, tier, needs, component.metadata.annotations)  # type: ignore[arg-type]
    if not services:
        raise InputError(f"{path} holds no Component.", cure="Add a Backstage document with kind: Component.")
    for service in services.values():
        for needed in service.depends_on:
            if needed not in services:
                near = difflib.get_close_matches(needed, services, n=1)
                raise InputError(
                    f"{places[service.name]}: service '{service.name}' depends on '{needed}', which is not in the catalogue.",
                    cure=f"Did you mean {near[0]}?" if near else "Add it, or remove the dependency.",
                )
    return Catalogue(services, path)


def _named(name: str, place: str) -> str:
    try:
        return names.service(name)
    except InputError as error:
        raise InputError(f"{place}: {error.message}", cure=error.cure) from error
