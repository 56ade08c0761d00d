"""Linkerd: who calls whom, by what its proxies count of outbound requests and connections."""

from __future__ import annotations

from collections.abc import Iterator

from sre_responder.evidence.series import TenantLogin
from sre_responder.home.observed import Call
from sre_responder.radius.source import Source, named, rates

_KINDS = ("deployment", "statefulset", "daemonset", "k8s_job")
_LABELS = ("namespace", *_KINDS, "dst_namespace", *(f"dst_{kind}" for kind in _KINDS))


def calls(login: TenantLogin, seconds: float, now: float) -> Iterator[Call]:
    """Responses with their rate, and TCP connections, which say only that there is a dependency."""
    found: dict[tuple[str, str], float] = {}
    for metric, weight in (("response_total", 1), ("tcp_open_total", 0)):
        for labels, [rate] in rates(login, seconds, f'{metric}{{direction="outbound"}}', *_LABELS):
            caller = named(labels.get("namespace"), *(labels.get(kind) for kind in _KINDS))
            callee = named(labels.get("dst_namespace"), *(labels.get(f"dst_{kind}") for kind in _KINDS))
            if callee:
                found[caller, callee] = found.get((caller, callee), 0) + weight * rate
    for (caller, callee), rate in found.items():
        yield Call(caller, callee, rate, now)


SOURCE = Source("prometheus", TenantLogin, calls)
