"""Zipkin: who calls whom, by its dependencies, which it sums up from traces."""

from __future__ import annotations

from collections.abc import Iterator

from sre_responder.evidence.fetch import Login
from sre_responder.home.observed import Call
from sre_responder.radius.source import Source, dependencies


def calls(login: Login, seconds: float, now: float) -> Iterator[Call]:
    return dependencies(login, "/api/v2/dependencies", seconds, now)


SOURCE = Source("zipkin", Login, calls)
