"""What is to go wrong: scenarios of our own, and those of others in ITBench's JSON form, as one kind of value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OWN = Path(__file__).with_name("definitions.yml")


@dataclass(frozen=True)
class Injection:
    """One change that breaks something: the mechanism by its id, and its parameters."""

    id: str
    args: Mapping[str, Any]

    @property
    def object(self) -> Mapping[str, Any]:
        """The object that it is about, by kind, name and namespace."""
        return dict(self.args.get("kubernetesObject") or {})


@dataclass(frozen=True)
class Disruption:
    """Injections that are one fault of one service, and what is done right after them."""

    injections: tuple[Injection, ...]
    afterwards: tuple[Injection, ...] = ()

    @property
    def all(self) -> tuple[Injection, ...]:
        return (*self.injections, *self.afterwards)


@dataclass(frozen=True)
class Scenario:
    """One incident: what breaks, which alerts fire for it, and whether the workloads have autoscalers."""

    name: str
    disruptions: tuple[Disruption, ...]
    alerts: tuple[str, ...]
    autoscaled: bool = False


def read(file: Path) -> list[Scenario]:
    """The scenarios of a file: YAML or JSON, ITBench's object with `scenarios`, a list of them, or one."""
    text = file.read_text("utf-8")
    document = json.loads(text) if text.lstrip()[:1] in ("{", "[") else yaml.safe_load(text)
    found = document.get("scenarios", [document]) if isinstance(document, dict) else document
    return [_scenario(one) for one in found]


def _scenario(given: Mapping[str, Any]) -> Scenario:
    applications = (given.get("environment") or {}).get("applications") or ()
    scaling = [((one.get("args") or {}).get("autoscaling") or {}).get("kubernetes") or {} for one in applications]
    return Scenario(
        name=str(given.get("name") or given.get("id")),
        disruptions=tuple(map(_disruption, given.get("disruptions") or ())),
        alerts=tuple(_names(given.get("alerts") or ())),
        autoscaled=any(one.get("hpa") for one in scaling),
    )


def _disruption(given: Mapping[str, Any]) -> Disruption:
    after = (given.get("waitFor") or {}).get("postInjection") or ()
    return Disruption(_injections(given.get("injections") or ()), _injections(after))


def _injections(given: Iterable[Mapping[str, Any]]) -> tuple[Injection, ...]:
    return tuple(Injection(str(one["id"]), one.get("args") or {}) for one in given)


def _names(alerts: Sequence[Any]) -> Iterator[str]:
    """Alerts by name, however they are written down."""
    for alert in alerts:
        yield str(alert.get("name") or alert.get("id") or alert) if isinstance(alert, Mapping) else str(alert)
