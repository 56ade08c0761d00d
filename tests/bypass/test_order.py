"""Ways to heal a service before what it depends on: the order is the catalogue's and the record's, whoever asks and however."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from bypass.world import DRIVEN, World

from sre_responder.guard.picture import symptom
from sre_responder.ledger import incidents

REFUSAL = "checkout depends on inventory, not healed yet: heal that first"


def catalogue(world: World, *more: str, needed: str = "inventory") -> None:
    """Checkout needs inventory, by this reference."""
    path = world.home.folder / "catalogue.yml"
    checkout = next(one for one in yaml.safe_load_all(path.read_text()) if one["metadata"]["name"] == "checkout")
    checkout["spec"]["dependsOn"] = [needed]
    annotations = {"responder/environments": "staging"}
    inventory = {**checkout, "metadata": {"name": "inventory", "annotations": annotations}, "spec": {"type": "service"}}
    path.write_text("\n---\n".join([yaml.safe_dump_all([checkout, inventory]), *more]))


def fails(world: World, number: str = "INC-2000", severity: str = "SEV1", environment: str = "staging") -> None:
    with world.ledger.transaction() as connection:
        incidents.open_(
            connection, world.ledger.now(connection), id=number, service="inventory", environment=environment,
            severity=severity, title="down", actor="test", failure_class="bad-release",
        )  # fmt: skip


def observed(world: World, *, healthy: bool) -> None:
    """Inventory was measured; one measurement is a healthy period here."""
    with world.ledger.transaction() as connection:
        now, name = world.ledger.now(connection), symptom("staging", "inventory", "bad-release")
        incidents.observe(connection, now, name, healthy, 0)


def test_the_order_is_real_it_acts_once_the_dependency_is_healthy(world: World) -> None:
    catalogue(world)
    fails(world)
    world.heals("1")
    assert (world.drive().returncode, world.release) == (3, "2")
    assert REFUSAL in world.refusals()
    observed(world, healthy=True)
    assert (world.drive().returncode, world.release) == (0, "1")


WAYS: dict[str, Callable[[World], Any]] = {
    "by plain ansible-playbook": lambda world: world.play(),
    "with the lowest severity for the dependency": lambda world: fails(world, "INC-2001", "SEV4"),
    "with a dependency in another case and with its kind": lambda world: catalogue(world, needed="Component:default/Inventory"),
    "with a second incident of the same service": lambda world: fails(world, "INC-2002"),
    "with one healthy moment before it failed again": lambda world: [observed(world, healthy=one) for one in (True, False)],
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_done_before_what_it_depends_on(world: World, way: str) -> None:
    catalogue(world)
    fails(world)
    world.heals("1")
    WAYS[way](world)
    assert world.drive().returncode == 3
    assert (world.release, world.started()) == ("2", 0)
    assert REFUSAL in world.refusals()


def test_a_service_whose_document_cannot_be_read_still_comes_first(world: World) -> None:
    """It may be what it mentions, or what mentions it."""
    catalogue(world)
    fails(world)
    path = world.home.folder / "catalogue.yml"
    path.write_text(
        path.read_text().replace("name: inventory", "name: inventory\n  title: checkout\n  labels: [broken")
    )
    assert world.drive().returncode == 3
    assert (world.release, world.started()) == ("2", 0)


def test_an_incident_of_the_dependency_in_another_environment_holds_nothing_back(world: World) -> None:
    catalogue(world)
    fails(world, environment="canary")
    world.heals("1")
    assert (world.drive().returncode, world.release) == (0, "1")


def test_a_person_may_decide_otherwise_for_this_exact_plan(world: World) -> None:
    catalogue(world)
    fails(world)
    assert world.responder(*DRIVEN, "--json").returncode == 3
    [refused] = world.entries("gate.blocked")
    [gate] = [one for one in refused.data["gates"] if one["name"] == "order"]
    assert gate["clears_by_approval"] and gate["status"] == "failed"
