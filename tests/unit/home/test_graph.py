"""The service graph: catalogue and observed calls in one, whose names differ, and how far a change reaches by both."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.home.catalogue import Catalogue, Service
from sre_responder.home.graph import Edge, Graph, Radius
from sre_responder.home.observed import Call, Seen

AT = 1000.0


def service(name: str, *needs: str, **annotations: str) -> Service:
    return Service(name, "x", None, needs, {f"responder/{key.replace('_', '-')}": v for key, v in annotations.items()})


def graph(*services: Service, **sources: list[tuple[str, str, float]]) -> Graph:
    """Calls by source, each with its rate."""
    seen = {name: Seen(at=AT, calls=tuple(Call(*call, AT) for call in calls)) for name, calls in sources.items()}
    return Graph(Catalogue({one.name: one for one in services}, Path("c.yml")), seen)


def test_who_only_calls_a_service_is_downstream_as_is_who_declares_that_it_needs_it() -> None:
    found = graph(service("db"), service("shop", "db"), service("edge"), mesh=[("ns/edge", "ns/shop", 1)])
    assert found.radius("db").downstream == ("edge", "shop")
    assert found.radius("db").neighbours == ("edge", "shop")


def test_an_edge_says_which_sides_know_it() -> None:
    found = graph(
        service("db"), service("shop", "db", "mail"), service("mail"), a=[("shop", "db", 1)], b=[("shop", "cache", 1)]
    )
    assert list(found.edges()) == [
        Edge("shop", "cache", False, {"b": AT}),
        Edge("shop", "db", True, {"a": AT}),
        Edge("shop", "mail", True, {}),
    ]
    assert [edge.needed for edge in found.edges() if edge.one_sided] == ["cache", "mail"]


@pytest.mark.parametrize("seen", ["shop-v2/checkout-api", "CHECKOUT-API", "other/checkout-api", "pay"])
def test_a_name_of_the_mesh_is_the_service_that_claims_it(seen: str) -> None:
    found = graph(service("db"), service("checkout", mesh_name="checkout-api, pay"), mesh=[(seen, "db", 1)])
    assert found.radius("db").downstream == ("checkout",)


def test_a_name_in_one_namespace_may_be_another_service_than_in_the_next() -> None:
    services = service("a", mesh_name="one/api"), service("b", mesh_name="two/api"), service("db")
    assert graph(*services, mesh=[("two/api", "db", 1)]).radius("db").downstream == ("b",)


def test_a_service_that_is_called_otherwise_is_not_meant_by_its_own_name() -> None:
    found = graph(service("db"), service("checkout", mesh_name="checkout-api"), mesh=[("checkout", "db", 1)])
    assert found.radius("db").downstream == ("checkout",), "it stands there by the name that was seen"
    assert [edge.one_sided for edge in found.edges()] == [True]


def test_a_name_that_two_services_claim_is_both() -> None:
    services = service("a", mesh_name="api"), service("b", mesh_name="api"), service("db")
    assert graph(*services, mesh=[("api", "db", 1)]).radius("db").downstream == ("a", "b")


def test_traffic_is_the_share_of_calls_that_go_to_a_service_or_its_dependents() -> None:
    calls = [("", "edge", 6), ("edge", "shop", 3.0), ("shop", "db", 1.0)]
    found = graph(service("db"), service("shop"), service("edge"), mesh=calls)
    assert [found.radius(name).traffic for name in ("db", "shop", "edge")] == [1.0, 0.9, 0.6]


def test_of_several_sources_the_one_that_shows_the_largest_share_counts() -> None:
    sampled = [("", "shop", 0.1), ("", "mail", 0.1)]
    found = graph(service("shop"), service("mail"), mesh=[("", "shop", 1), ("", "mail", 99)], traces=sampled)
    assert (found.radius("shop").traffic, found.radius("mail").traffic) == (0.5, 0.99)


def test_without_rates_the_share_of_traffic_is_not_known() -> None:
    assert graph(service("db"), service("shop", "db")).radius("db").traffic is None
    assert graph(service("db"), service("shop"), mesh=[("shop", "db", 0)]).radius("db").traffic is None


def test_tier_0_is_counted_among_the_service_and_its_dependents_and_a_slip_counts_too() -> None:
    services = (
        service("db", criticality="tier-0"), service("shop", "db", criticality="tier0"),
        service("edge", "shop", criticality="tier-1"), service("job", "db"),
    )  # fmt: skip
    assert graph(*services).radius("db").tier_0 == ("db", "shop")
    assert graph(*services).radius("edge").tier_0 == ()


NAMES = st.sampled_from("abcdef")
EDGES = st.lists(st.tuples(NAMES, NAMES), max_size=12)


@given(EDGES, EDGES)
def test_what_is_reached_by_both_sides_together_is_what_one_that_knows_all_would_reach(
    declared: list[tuple[str, str]], seen: list[tuple[str, str]]
) -> None:
    def radius(declared: list[tuple[str, str]], seen: list[tuple[str, str]]) -> list[Radius]:
        services = [service(name, *(needed for user, needed in declared if user == name)) for name in "abcdef"]
        found = graph(*services, mesh=[(user, needed, 0) for user, needed in seen])
        return [found.radius(name) for name in "abcdef"]

    plain = [(user, needed) for user, needed in declared + seen if user != needed or (user, needed) in declared]
    assert radius(declared, seen) == radius(plain, [])
    assert radius(declared, seen) == radius([], declared + seen)
