"""When a rollback has a reason, by a real control plane: pods that are ready are left alone where the cause is elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop
from support.looking import sample

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes.diagnosis import diagnose
from sre_responder.effects.kubernetes.known_good import capture
from sre_responder.errors import NotApplicable
from sre_responder.evidence.sources.kubernetes import Kubernetes
from sre_responder.evidence.workload import read

pytestmark = pytest.mark.contract

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
SECOND = 1.1
"""The API keeps times by the second."""


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    return Shop(own_cluster, namespace)


def planned(shop: Shop, **more: Any) -> Change:
    return EFFECTS["kubernetes_rollback"].plan({**shop.arguments, "to": "previous", **more})


def put(shop: Shop, api: str, kind: str, name: str, **fields: Any) -> None:
    document = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **fields}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))


def release(shop: Shop, tag: str) -> None:
    """A release that listens on a port and needs a Secret, with a Service in front of it."""
    document = yaml.safe_load(shop.manifest(tag))
    container = document["spec"]["template"]["spec"]["containers"][0]
    container |= {"ports": [{"containerPort": 8080}], "envFrom": [{"secretRef": {"name": "login"}}]}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
    shop.kubectl("rollout", "status", f"{shop.kind}/{shop.name}", "--timeout=60s")


@pytest.fixture
def served(shop: Shop) -> Shop:
    return serve(shop)


def serve(shop: Shop) -> Shop:
    put(shop, "v1", "Secret", "login", stringData={"password": "good"})
    put(
        shop,
        "v1",
        "Service",
        shop.name,
        spec={"selector": {"app": shop.name}, "ports": [{"port": 80, "targetPort": 8080}]},
    )
    release(shop, "1")
    release(shop, "2")
    wait_until(lambda: read(shop.arguments, 60, asked="endpoints")["endpoints"] == len(shop.ready()), "all are behind it")  # fmt: skip
    time.sleep(SECOND)
    return shop


def patch(shop: Shop, kind: str, name: str, **fields: Any) -> None:
    shop.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(fields))


CAUSES: dict[str, Callable[[Shop], object]] = {
    "Service shop leads to port 9999, and the pods listen on 8080": lambda shop: patch(
        shop, "service", "shop", spec={"ports": [{"port": 80, "targetPort": 9999}]}
    ),
    "Service shop selects app=other, and the pods have app=shop": lambda shop: patch(
        shop, "service", "shop", spec={"selector": {"app": "other"}}
    ),
    "listens on 8080, and no Service leads to its pods": lambda shop: shop.kubectl("delete", "service", "shop"),
    "NetworkPolicy closed lets no request in to the pods by kubectl": lambda shop: put(
        shop, "networking.k8s.io/v1", "NetworkPolicy", "closed", spec={"podSelector": {}, "policyTypes": ["Ingress"]}
    ),
    "Secret login was changed by kubectl-patch at": lambda shop: patch(
        shop, "secret", "login", stringData={"password": "bad"}
    ),
    "Secret login which the pods need, does not exist": lambda shop: shop.kubectl("delete", "secret", "login"),
}


@pytest.mark.parametrize("words", CAUSES)
def test_pods_that_are_ready_are_not_returned_where_the_cause_is_elsewhere(served: Shop, words: str) -> None:
    assert planned(served).target, "the newest release may be the reason as long as nothing else is"
    CAUSES[words](served)
    with pytest.raises(NotApplicable) as refused:
        planned(served)
    assert "pods run and are ready, and the cause is elsewhere" in refused.value.message
    assert words in refused.value.message
    assert words in str(diagnose(served.arguments)["findings"])
    assert served.tag == "2"


def test_a_policy_that_closes_all_is_no_cause_where_another_lets_requests_in(served: Shop) -> None:
    closed = {"podSelector": {}, "policyTypes": ["Ingress"]}
    opened = {"podSelector": {"matchLabels": {"app": "shop"}}, "ingress": [{"ports": [{"port": 8080}]}]}
    for name, spec in (("closed", closed), ("opened", opened)):
        put(served, "networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)
    time.sleep(SECOND)
    release(served, "3")
    assert planned(served).target


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_of_any_kind_is_not_returned_for_what_changed_beside_it(shop: Shop, kind: str) -> None:
    here = serve(Shop(shop.cluster, shop.namespace, kind))
    assert planned(here).target
    patch(here, "secret", "login", stringData={"password": "bad"})
    with pytest.raises(NotApplicable, match="Secret login was changed"):
        planned(here)


def test_a_restart_is_no_change_of_the_template(served: Shop) -> None:
    """The Secret was changed, and the pods restarted: they run what they ran before."""
    patch(served, "secret", "login", stringData={"password": "bad"})
    time.sleep(SECOND)
    served.kubectl("rollout", "restart", "deployment/shop")
    served.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    with pytest.raises(NotApplicable, match="Secret login was changed"):
        planned(served)


def test_a_template_that_was_there_when_the_service_was_last_healthy_is_left(served: Shop) -> None:
    assert planned(served, _healthy_at=lambda: 1.0).target
    with pytest.raises(NotApplicable, match="nothing about its template changed since the service was last healthy at"):
        planned(served, _healthy_at=time.time)


def test_a_template_that_ran_when_the_service_was_remembered_as_healthy_is_left(served: Shop) -> None:
    """Restarted since, it still runs the same."""
    known = capture(served.arguments)
    served.kubectl("rollout", "restart", "deployment/shop")
    served.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    with pytest.raises(NotApplicable, match="what they run ran when the service was last healthy"):
        planned(served, _known_good=lambda: known)
    release(served, "3")
    assert planned(served, _known_good=lambda: known).target, "a newer one may be the reason"


def test_a_workload_that_is_scaled_to_zero_is_told_as_that(served: Shop) -> None:
    served.kubectl("scale", "deployment/shop", "--replicas=0")
    with pytest.raises(NotApplicable, match="it is scaled to zero, and stays so"):
        planned(served)


def test_a_quota_that_refuses_the_pods_of_every_revision_is_named(served: Shop) -> None:
    put(served, "v1", "ResourceQuota", "few", spec={"hard": {"pods": "1"}})
    wait_until(lambda: served.cluster.get("quota", "few", "-n", served.namespace)["status"].get("used"), "it counts")
    served.kubectl("delete", "pods", "--all")
    wait_until(lambda: "exceeded quota: few" in str(diagnose(served.arguments)["findings"]), "the quota is found")
    with pytest.raises(NotApplicable, match=r"exceeded quota: few.*revision 1 asks for the same resources"):
        planned(served)


def test_pods_that_no_node_takes_are_returned_only_where_the_earlier_template_asks_for_less(served: Shop) -> None:
    nodes = [one["metadata"]["name"] for one in served.cluster.get("nodes")["items"]]
    served.cluster.kubectl("cordon", *nodes)
    try:
        served.kubectl("delete", "pods", "--all")
        wait_until(lambda: "unschedulable" in str(diagnose(served.arguments)["findings"]), "the scheduler says so")
        with pytest.raises(NotApplicable, match="revision 1 asks the same of a node"):
            planned(served)
    finally:
        served.cluster.kubectl("uncordon", *nodes)


def test_endpoints_that_are_missing_make_a_workload_unhealthy(served: Shop) -> None:
    healthy = Kubernetes(window_s=0.001)
    wait_until(lambda: sample(healthy, served.arguments).ok, "it is in order")
    CAUSES["Service shop selects app=other, and the pods have app=shop"](served)
    wait_until(lambda: sample(healthy, served.arguments).ok is False, "it leads nowhere")
    assert "no endpoint of its Service is ready" in sample(healthy, served.arguments).reason


def test_a_workload_without_a_service_needs_no_endpoints(shop: Shop) -> None:
    shop.release("1")
    assert read(shop.arguments, 60, asked="endpoints")["endpoints"] is None
    assert sample(Kubernetes(), shop.arguments).ok is True
