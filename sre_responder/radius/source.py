"""What a source of calls is, and how those of one protocol are read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sre_responder.evidence.fetch import Login, fetch
from sre_responder.evidence.series import Row, ask
from sre_responder.home.observed import Call
from sre_responder.model import address
from sre_responder.model.look import NotMeasured
from sre_responder.model.names import shown

LARGEST = 64 << 20
"""Bytes of one answer: 100,000 calls with all their labels are 40 MiB."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Source:
    """The platform of its connection, what that may say, and what reads the calls of so many seconds until now."""

    platform: str
    login: type[Login]
    calls: Callable[[Any, float, float], Iterable[Call]]


def rates(login: Login, seconds: float, metric: str, *labels: str) -> list[Row]:
    """How often each combination of labels was counted, per second; those that were not are left out."""
    query = f"sum by ({', '.join(labels)}) (rate({metric}[{seconds:.0f}s])) > 0"
    return ask(login, "/api/v1/query", TIMEOUT_S, LARGEST, query=query)


def dependencies(login: Login, path: str, seconds: float, now: float) -> Iterator[Call]:
    """The calls that a tracing backend has summed up over the seconds until now."""
    url = f"{login.url}{path}?endTs={now * 1000:.0f}&lookback={seconds * 1000:.0f}"
    answer = fetch(url, TIMEOUT_S, login=login, at_most=LARGEST)
    try:
        found = json.loads(answer.body)
        links = found["data"] if isinstance(found, dict) else found
        yield from [Call(str(one["parent"]), str(one["child"]), _count(one) / seconds, now) for one in links]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = shown(answer.body[:200].decode("utf-8", "replace").strip(), 200)
        raise NotMeasured(f"{address.shown(login.url)} answers {answer.status} without dependencies: {said}") from error


def _count(link: Mapping[str, Any]) -> float:
    """How many calls; ValueError if that is no number."""
    if math.isfinite(count := link["callCount"]) and count >= 0:
        return float(count)
    raise ValueError("not a number of calls")


def named(namespace: str | None, *names: str | None) -> str:
    """A workload by the first of its names that is known, with its namespace; empty if none is."""
    name = next((name for name in names if name and name != "unknown"), "")
    return f"{namespace}/{name}" if name and namespace and namespace != "unknown" else name
