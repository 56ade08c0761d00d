"""Estimates of reach scored afterwards, on what the ledger knows of incidents and alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from support.light import Light, home_with, take

from sre_responder.home import Home, observed
from sre_responder.home.observed import Call, Seen
from sre_responder.ledger import Ledger, alerts, incidents
from sre_responder.ledger.alerts import Episode
from sre_responder.ledger.schema import attempts
from sre_responder.ledger.troubles import Trouble, troubles
from sre_responder.record.radius_report import Estimate, made, reached, scores

START, END, WITHIN = 1000.0, 1100.0, 300.0


def estimate(*expected: str, action: str = "restart", **changes: Any) -> Estimate:
    return Estimate(action, "db", "production", START, END, frozenset(expected), **changes)


def trouble(service: str, began: float, ended: float | None = None, environment: str = "production") -> Trouble:
    return Trouble(service, environment, began, ended)


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (trouble("shop", START), True),
        (trouble("shop", END + WITHIN), True),
        (trouble("shop", END + WITHIN + 1), False),
        (trouble("shop", START - 1), False),
        (trouble("shop", START + 1, environment="staging"), False),
        (trouble("db", START + 1), False),
    ],
    ids=["at once", "as late as counts", "later", "before", "of another environment", "the service itself"],
)
def test_who_became_unhealthy_after_an_action_was_reached(one: Trouble, counts: bool) -> None:
    assert reached(estimate(), [one], WITHIN) == ({"shop"} if counts else set())


@pytest.mark.parametrize(("ended", "counts"), [(None, False), (START, False), (START - 1, True)])
def test_who_was_unhealthy_already_was_not_reached_by_it(ended: float | None, counts: bool) -> None:
    before = trouble("shop", START - 60, ended)
    assert reached(estimate(), [before, trouble("shop", START + 5)], WITHIN) == ({"shop"} if counts else set())


def test_each_action_is_scored_by_what_was_expected_and_what_came() -> None:
    found = scores(
        [estimate("shop", "edge"), estimate("shop", unknown=True), estimate("job", action="rollback")],
        [trouble("shop", START + 1), trouble("mail", START + 1)], WITHIN,
    )  # fmt: skip
    [restart, rollback] = sorted(found, key=lambda one: one.action)
    assert (restart.estimates, restart.unknown, restart.expected, restart.reached, restart.hits) == (2, 1, 3, 4, 2)
    assert (restart.beyond, restart.missed) == (2, ("mail",))
    assert (restart.precision, restart.recall) == (pytest.approx(2 / 3), 0.5)
    assert (rollback.precision, rollback.recall, rollback.beyond) == (0.0, 0.0, 1)


def test_where_nothing_was_expected_or_nothing_came_there_is_no_share() -> None:
    [one] = scores([estimate()], [], WITHIN)
    assert (one.precision, one.recall, one.beyond) == (None, None, 0)


SERVICES = st.frozensets(st.sampled_from("abcde"))


@given(st.lists(st.tuples(SERVICES, st.sampled_from(["x", "y"])), max_size=6), SERVICES)
def test_what_came_is_expected_or_beyond_and_every_estimate_is_counted_once(
    expected: list[tuple[frozenset[str], str]], ill: frozenset[str]
) -> None:
    found = scores(
        [estimate(*some, action=action) for some, action in expected], [trouble(one, START) for one in ill], WITHIN
    )
    assert sum(one.estimates for one in found) == len(expected)
    for one in found:
        assert one.hits <= min(one.expected, one.reached) and bool(one.missed) == (one.hits < one.reached) == (
            one.beyond > 0
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


def test_the_ledger_says_what_was_expected_and_who_was_in_trouble(home: Home) -> None:
    with (home.folder / "policy.yml").open("a") as file:
        file.write("graph: {sources: [{kind: zipkin, connection: traces}]}\n")
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
    observed.save(home.state / observed.FILE, {"zipkin@traces": Seen(at=now, calls=(Call("web", "checkout", 1, now),))})
    take(home, Light())
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        incidents.open_(
            connection,
            now,
            service="mail",
            environment="dev",
            severity="SEV3",
            title="x",
            actor="x",
            started_at=now - 5,
        )
        number, _ = incidents.open_(
            connection, now, service="web", environment="dev", severity="SEV3", title="x", actor="x"
        )
        alerts.write(connection, [Episode("f", "a", "s", "x", "x", now + 1, now, now, "joined", "", number, now + 2)])
        [one] = made(connection, now - 60)
        assert (one.action, one.service, one.environment, one.expected, one.unknown) == (
            "http_cache_purge", "checkout", "dev", frozenset({"web"}), False,
        )  # fmt: skip
        assert {(t.service, t.began_at, t.ended_at) for t in troubles(connection, now - 60)} >= {
            ("mail", now - 5, None), ("web", now, None), ("web", now + 1, now + 2),
        }  # fmt: skip
        connection.execute(update(attempts).values(outcome="not_done"))
        assert list(made(connection, now - 60)) == [], "what ended before its act reached nothing"
