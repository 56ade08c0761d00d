"""Two Responders with two ledgers on one cluster: a Lease beside the workload lets one act at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from support.control_plane import Cluster
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes import lock
from sre_responder.effects.kubernetes.api import connect
from sre_responder.effects.kubernetes.workload import find
from sre_responder.errors import OutcomeUnknown, Refused
from sre_responder.system.process import space, started

pytestmark = pytest.mark.contract

ROLLBACK = EFFECTS["kubernetes_rollback"]


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    shop = Shop(own_cluster, namespace)
    shop.release("1")
    shop.release("2")
    return shop


def arguments(shop: Shop) -> dict[str, Any]:
    return {**shop.arguments, "to": "previous", "_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}


def take(shop: Shop, identity: str) -> None:
    """A Lease as another holder would have left it."""
    api = connect(shop.arguments)
    with lock.held(api, workload := find(api, shop.arguments), arguments(shop)):
        text = json.loads(shop.kubectl("get", "lease", f"responder-{workload.uid}", "-o", "json"))
    text["metadata"] = {name: text["metadata"][name] for name in ("name", "annotations")}
    text["spec"]["holderIdentity"] = identity
    shop.kubectl("apply", "-f", "-", input=json.dumps(text))


def leases(shop: Shop) -> list[str]:
    return shop.kubectl("get", "leases", "-o", "name").split()


def planned(shop: Shop) -> Change:
    return ROLLBACK.plan(arguments(shop))


def test_an_action_leaves_no_lease(shop: Shop) -> None:
    ROLLBACK.act(arguments(shop), planned(shop))
    assert (shop.tag, leases(shop)) == ("1", [])


@pytest.mark.parametrize("identity", ["elsewhere/1/0.00", "someone"])
def test_what_another_machine_holds_is_left_alone_and_its_holder_is_named(shop: Shop, identity: str) -> None:
    change = planned(shop)
    take(shop, identity)
    assert f"another Responder holds this workload: {identity}" in str(planned(shop).busy)
    with pytest.raises(Refused, match=f"{identity} since .* for INC-1234"):
        ROLLBACK.act(arguments(shop), change)
    assert shop.tag == "2"
    assert len(leases(shop)) == 1


def test_what_a_living_process_of_this_machine_holds_is_left_alone(shop: Shop) -> None:
    take(shop, f"{socket.gethostname()}/{os.getpid()}/{started(os.getpid()):.2f}/{space()}")
    assert "another Responder" in str(planned(shop).busy)


def test_the_lease_of_a_process_that_died_here_is_taken_over(shop: Shop) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        since = started(process.pid)
        process.kill()
    take(shop, f"{socket.gethostname()}/{process.pid}/{since:.2f}/{space()}")
    assert planned(shop).busy is None
    ROLLBACK.act(arguments(shop), planned(shop))
    assert (shop.tag, leases(shop)) == ("1", [])


def test_the_number_of_a_dead_holder_given_to_a_new_process_is_not_taken_for_it(shop: Shop) -> None:
    take(shop, f"{socket.gethostname()}/{os.getpid()}/1.00/{space()}")
    assert planned(shop).busy is None


def test_an_outcome_that_nobody_knows_leaves_the_lease_for_others_to_see(shop: Shop) -> None:
    api = connect(shop.arguments)
    workload = find(api, shop.arguments)
    with pytest.raises(OutcomeUnknown), lock.held(api, workload, arguments(shop)):
        raise OutcomeUnknown("nobody knows")
    assert leases(shop) == [f"lease.coordination.k8s.io/responder-{workload.uid}"]
