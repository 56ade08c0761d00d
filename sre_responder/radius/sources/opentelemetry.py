"""OpenTelemetry: who calls whom, by the service graph that the Collector's connector, or Tempo, makes of traces."""

from __future__ import annotations

from collections.abc import Iterator

from sre_responder.evidence.series import TenantLogin
from sre_responder.home.observed import Call
from sre_responder.radius.source import Source, named, rates

_OUTSIDE = "user"
"""What the service graph calls a client that sends no spans."""


def calls(login: TenantLogin, seconds: float, now: float) -> Iterator[Call]:
    """Requests by client and server."""
    for labels, [rate] in rates(login, seconds, "traces_service_graph_request_total", "client", "server"):
        caller, callee = named(None, labels.get("client")), named(None, labels.get("server"))
        if callee:
            yield Call("" if caller == _OUTSIDE else caller, callee, rate, now)


SOURCE = Source("prometheus", TenantLogin, calls)
