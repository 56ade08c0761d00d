"""What stands around one service: which others fail with it, which come first, and whether the last one is proven stable."""

from __future__ import annotations

from typing import Any

import pytest
from support.history import Gates, History

from sre_responder.incident import outage
from sre_responder.ledger import audit


def around(h: History, service: str, minute: float) -> outage.Outage:
    h.minute = minute
    incident = h.incident(service, "staging")
    with h.ledger.transaction(reading=True) as connection:
        return outage.outage(connection, h.home.graph, incident, service, "staging")


def said(gates: Gates) -> tuple[str, str]:
    return gates["order"].status, gates["order"].reason


@pytest.fixture
def shop(history: History) -> History:
    """Login needs basket, which needs search; mail stands alone."""
    return history.depends(login=["basket"], basket=["search"])


def test_what_a_service_depends_on_is_healed_before_it(shop: History) -> None:
    shop.opened(0, service="search").opened(1, service="login")
    assert said(shop.asks(2, service="login")) == (
        "failed", "login depends on search, not healed yet: heal that first",
    )  # fmt: skip
    assert said(shop.asks(2, service="search"))[0] == "passed"


def test_what_fails_beside_it_and_is_not_related_comes_in_any_order(shop: History) -> None:
    shop.opened(0, service="mail").opened(1, service="login")
    assert said(shop.asks(2, service="login"))[0] == "passed"


def test_what_failed_before_and_was_measured_healthy_since_blocks_nothing(shop: History) -> None:
    shop.opened(0, service="search").opened(1, service="login")
    shop.healthy(2, 3, 4, service="search")
    assert said(shop.asks(5, service="login"))[0] == "passed"


def test_what_was_healthy_and_is_not_any_more_blocks_again(shop: History) -> None:
    shop.opened(0, service="search", alert="errors").opened(1, service="login")
    shop.healthy(2, 3, 4, service="search").healthy(5, service="search", ok=False)
    assert said(shop.asks(6, service="login"))[0] == "failed"


def test_a_cycle_is_said_and_counts_as_one(history: History) -> None:
    history.depends(login=["basket"], basket=["login"]).opened(0, service="basket").opened(1, service="login")
    status, reason = said(history.asks(2, service="login"))
    assert (status, "cycle with basket" in reason) == ("passed", True)
    assert around(history, "basket", 2).first == around(history, "login", 2).first == ()


def test_what_cannot_be_read_and_may_be_needed_comes_first(shop: History) -> None:
    shop.opened(0, service="search").opened(1, service="login")
    path = shop.folder / "home" / "catalogue.yml"
    path.write_text(path.read_text().replace("name: search", "name: search\n  title: basket\n  labels: [broken"))
    shop.policy()
    assert around(shop, "login", 2).first == ("search",)


def test_of_two_services_side_by_side_the_deeper_tier_comes_first(history: History) -> None:
    tiers = {"search": {"responder/tier": "backend"}, "basket": {"responder/tier": "middleware"}}
    history.depends(tiers, login=["search", "basket"]).opened(0, service="search").opened(1, service="basket")
    assert around(history, "basket", 2).first == ("search",)
    assert around(history, "search", 2).first == ()


def test_an_incident_in_another_environment_is_another_outage(history: History) -> None:
    history.depends(login=["search"]).opened(0, service="search", environment="canary").opened(1, service="login")
    assert said(history.asks(2, service="login"))[0] == "passed"


def test_one_service_at_a_time(shop: History) -> None:
    shop.opened(0, service="login").tried(1, outcome="running", service="search")
    status, reason = said(shop.asks(2, service="login"))
    assert (status, reason) == ("failed", "search is being changed in this outage: one service at a time")
    assert said(shop.asks(2, service="mail"))[0] == "passed"


@pytest.mark.parametrize("outcome", ["improved", "not_improved", "unknown"])
def test_the_next_service_waits_until_the_last_one_is_proven_stable(shop: History, outcome: Any) -> None:
    shop.tried(1, outcome=outcome, service="search")
    status, reason = said(shop.asks(2, service="login"))
    assert (status, "search, acted on before this (attempt 1), has not been proven stable" in reason) == (
        "failed",
        True,
    )
    assert around(shop, "search", 2).last is None, "the same service may go on"
    shop.healthy(3, 4, 5, service="search")
    assert said(shop.asks(6, service="login"))[0] == "passed"


def test_a_canary_on_the_record_proves_it_and_one_of_another_attempt_does_not(shop: History) -> None:
    shop.tried(1, outcome="improved", service="search")
    for attempt, proven in ((7, False), (1, True)):
        with shop.ledger.transaction() as connection:
            audit.append(
                connection, shop.ledger.now(connection), "canary.passed", "x", "x",
                incident=shop.incident("search", "staging"), attempt=attempt,
            )  # fmt: skip
        assert around(shop, "login", 2).proven is proven


def test_containment_and_what_was_not_done_are_no_steps_of_the_order(shop: History) -> None:
    shop.tried(1, "drain", "improved", service="basket").tried(2, outcome="not_done", service="search")
    assert around(shop, "login", 3).last is None


def test_a_service_that_the_catalogue_does_not_have_has_no_outage(shop: History) -> None:
    assert around(shop, "nowhere", 1) == outage.Outage()
