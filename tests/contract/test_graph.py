"""Who calls whom, from a real Prometheus with the metrics of Istio, Linkerd and OpenTelemetry, written before it started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.prometheus import prometheus

from sre_responder.evidence.series import TenantLogin
from sre_responder.home.observed import Call
from sre_responder.home.observing import KINDS
from sre_responder.model.look import NotMeasured

pytestmark = pytest.mark.contract
SCRAPE_S = 15


def counted(name: str, per_second: float, now: float, **labels: str) -> str:
    """One counter as half an hour of scrapes left it."""
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    first = int(now - 1800)
    return "".join(
        f"{name}{{{told}}} {per_second * (at - first)} {at}\n" for at in range(first, int(now) + 30, SCRAPE_S)
    )


def istio(name: str, per_second: float, now: float, reporter: str, caller: str, callee: str, **more: str) -> str:
    """The labels that Istio's documentation lists, of which one end may not know those of the other."""
    labels = {
        "reporter": reporter, "source_workload": f"{caller}-v1", "source_canonical_service": caller, "source_workload_namespace": "shop",
        "destination_service": f"{callee}.shop.svc.cluster.local", "destination_service_name": callee,
        "destination_service_namespace": "shop", "destination_canonical_service": callee, "response_code": "200",
    }  # fmt: skip
    return counted(name, per_second, now, **{**labels, **more})


def linkerd(name: str, per_second: float, now: float, **labels: str) -> str:
    return counted(
        name, per_second, now, **{"direction": "outbound", "namespace": "shop", "dst_namespace": "shop"} | labels
    )


def written(now: float) -> str:
    requests, opened = "istio_requests_total", "istio_tcp_connections_opened_total"
    outside = {
        "source_canonical_service": "unknown",
        "source_workload": "unknown",
        "source_workload_namespace": "unknown",
    }
    blind = {"destination_canonical_service": "unknown"}
    edges = "traces_service_graph_request_total"
    return "".join([
        istio(requests, 8, now, "destination", "", "edge", **outside),
        istio(requests, 4, now, "source", "edge", "cart"),
        istio(requests, 4, now, "destination", "edge", "cart"),
        istio(requests, 1, now, "source", "edge", "cart", response_code="503"),
        istio(requests, 3, now, "source", "cart", "tax.example.org", **blind, destination_service_namespace="unknown"),
        istio(requests, 9, now, "source", "cart", "PassthroughCluster", **blind),
        istio(requests, 0, now, "source", "cart", "idle"),
        istio(opened, 0.5, now, "source", "cart", "db", **blind),
        linkerd("response_total", 2, now, deployment="edge", dst_deployment="cart"),
        linkerd("response_total", 2, now, deployment="edge", dst_deployment="cart", direction="inbound"),
        linkerd("tcp_open_total", 1, now, deployment="cart", dst_statefulset="db"),
        counted(edges, 6, now, client="user", server="edge", connection_type="virtual_node"),
        counted(edges, 5, now, client="edge", server="cart", connection_type=""),
        counted(edges, 2, now, client="cart", server="db", connection_type="database"),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory, component: Callable[[str, str], Path]) -> Iterator[TenantLogin]:
    programs = component("prometheus", "prometheus"), component("promtool", "prometheus")
    with prometheus(*programs, tmp_path_factory.mktemp("prometheus"), written(time.time())) as url:
        yield TenantLogin(url=url)


def calls(login: TenantLogin, kind: str) -> dict[tuple[str, str], float]:
    found: list[Call] = list(KINDS[kind].calls(login, 600, 7.0))
    assert len({(one.caller, one.callee) for one in found}) == len(found) and {one.seen_at for one in found} == {7.0}
    return {(one.caller, one.callee): pytest.approx(one.per_second, rel=0.05) for one in found}


def test_istio_counts_a_request_once_whoever_reports_it(login: TenantLogin) -> None:
    assert calls(login, "istio") == {
        ("", "shop/edge"): 8,
        ("shop/edge", "shop/cart"): 5,
        ("shop/cart", "tax.example.org"): 3,
        ("shop/cart", "shop/db"): 0,
    }


def test_linkerd_counts_what_goes_out_and_a_connection_is_a_dependency(login: TenantLogin) -> None:
    assert calls(login, "linkerd") == {("shop/edge", "shop/cart"): 2, ("shop/cart", "shop/db"): 0}


def test_opentelemetry_takes_users_for_what_is_outside(login: TenantLogin) -> None:
    assert calls(login, "opentelemetry") == {("", "edge"): 6, ("edge", "cart"): 5, ("cart", "db"): 2}


def test_a_prometheus_that_refuses_shows_nothing() -> None:
    with pytest.raises(NotMeasured, match="cannot reach"):
        list(KINDS["istio"].calls(TenantLogin(url="http://127.0.0.1:9"), 600, 7.0))
