"""Istio: who calls whom, by the standard metrics of its sidecars, gateways and waypoints."""

from __future__ import annotations

from collections.abc import Iterator

from sre_responder.evidence.series import TenantLogin
from sre_responder.home.observed import Call
from sre_responder.radius.source import Source, named, rates

_LABELS = (
    "reporter", "source_workload_namespace", "source_canonical_service", "source_workload", "destination_service_namespace",
    "destination_canonical_service", "destination_service_name",
)  # fmt: skip
_NOWHERE = ("BlackHoleCluster", "PassthroughCluster", "InboundPassthroughCluster")
"""What Envoy calls a destination that the mesh does not know."""


def calls(login: TenantLogin, seconds: float, now: float) -> Iterator[Call]:
    """Requests with their rate, and TCP connections, which say only that there is a dependency.

    One request is reported by both ends, or by a waypoint too: the end that counted most is taken.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for metric, weight in (("istio_requests_total", 1), ("istio_tcp_connections_opened_total", 0)):
        for labels, [rate] in rates(login, seconds, metric, *_LABELS):
            space = labels.get("destination_service_namespace")
            callee = named(space, labels.get("destination_canonical_service"), labels.get("destination_service_name"))
            if not callee or callee.rpartition("/")[2].startswith(_NOWHERE):
                continue
            space = labels.get("source_workload_namespace")
            caller = named(space, labels.get("source_canonical_service"), labels.get("source_workload"))
            ends = found.setdefault((caller, callee), {})
            reporter = labels.get("reporter", "")
            ends[reporter] = ends.get(reporter, 0) + weight * rate
    for (caller, callee), ends in found.items():
        yield Call(caller, callee, max(ends.values()), now)


SOURCE = Source("prometheus", TenantLogin, calls)
