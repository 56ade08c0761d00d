"""A cascade: remedies that fail on so many services within the window raise one stop, for that environment alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from support.history import SERVICES, Ask, History, Outcome

from sre_responder.approvals import sign_off
from sre_responder.effects import Change, Propagation
from sre_responder.emergency import cascade, stop
from sre_responder.engine.step import Step, perform
from sre_responder.errors import EffectFailed, ResponderError, Stopped
from sre_responder.ledger import attempts, audit, incidents
from sre_responder.ledger.schema import stops

SECOND = 1 / 60


def failing(h: History, *minutes: float, outcome: Outcome = "not_improved", book: str = "purge", **ask: Any) -> History:
    """At each of these minutes a remedy came to this, each time on another service."""
    for minute, service in zip(minutes, SERVICES, strict=False):
        h.tried(minute, book, outcome, service=service, **ask)
    return h


def checked(h: History, minute: float, environment: str = "staging") -> str | None:
    """The stop that is raised now."""
    h.minute = minute
    with h.ledger.transaction() as connection:
        return cascade.check(connection, h.ledger.now(connection), h.home, environment)


def standing(h: History) -> list[tuple[str, str, str]]:
    """Holder, environment and reason of each stop."""
    with h.ledger.transaction(reading=True) as connection:
        rows = connection.execute(select(stops).where(stops.c.lifted_at.is_(None)).order_by(stops.c.id)).all()
    return [(row.holder, row.environment, row.reason) for row in rows]


CASES: dict[str, tuple[bool, Callable[[History], History]]] = {
    "four services": (True, lambda h: failing(h, 0, 1, 2, 3)),
    "five services": (True, lambda h: failing(h, 0, 1, 2, 3, 4)),
    "three services": (False, lambda h: failing(h, 0, 1, 2)),
    "four services, the first just inside the window": (True, lambda h: failing(h, -9 + SECOND, 1, 2, 3)),
    "four services, the first just outside the window": (False, lambda h: failing(h, -9 - SECOND, 1, 2, 3)),
    "one service four times": (
        False, lambda h: h.tried(0).tried(1, "restart").tried(2, "roll-back").tried(3, "fail-over")
    ),
    "three services, one of them twice": (False, lambda h: failing(h, 0, 1, 2).tried(3)),
    "three services and one that was helped": (
        False, lambda h: failing(h, 0, 1, 2).tried(3, "purge", "improved", service="login")
    ),
    "four services by four remedies": (
        True,
        lambda h: (h.tried(0).tried(1, "restart", service="search").tried(2, "roll-back", service="basket")
            .tried(3, "fail-over", service="login")),
    ),
    "four services for another symptom": (True, lambda h: failing(h, 0, 1, 2, 3, book="purge-slow")),
    "four of unknown outcome": (True, lambda h: failing(h, 0, 1, 2, 3, outcome="unknown")),
    "four that helped": (False, lambda h: failing(h, 0, 1, 2, 3, outcome="improved")),
    "four that never acted": (False, lambda h: failing(h, 0, 1, 2, 3, outcome="not_done")),
    "four that are under way": (False, lambda h: failing(h, 0, 1, 2, 3, outcome="running")),
    "four containments": (False, lambda h: failing(h, 0, 1, 2, 3, book="drain")),
    "two in each of two environments": (False, lambda h: failing(failing(h, 0, 1), 2, 3, environment="canary")),
    "four in another environment": (False, lambda h: failing(h, 0, 1, 2, 3, environment="canary")),
    "two, where the policy says two": (True, lambda h: failing(h.policy(cascade={"services": 2}), 0, 1)),
    "four, where the policy says never": (False, lambda h: failing(h.policy(cascade={"services": None}), 0, 1, 2, 3)),
    "four within the policy's own window": (
        True, lambda h: failing(h.policy(cascade={"window_minutes": 60}), -40, -30, 2, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_stop_is_raised_when_so_many_services_fail_within_the_window(history: History, case: str) -> None:
    raised, told = CASES[case]
    assert (checked(told(history), 6) is not None) is raised
    assert [(holder, environment) for holder, environment, _ in standing(history)] == [
        (cascade.HOLDER, "staging")
    ] * raised


def test_the_stop_names_the_services(history: History) -> None:
    assert checked(failing(history, 0, 1, 2, 3), 4) == "STOP-1"
    [(_, _, reason)] = standing(history)
    assert reason == "remedies failed on 4 services within 15 minutes: basket, checkout, login, search"


def test_it_stops_its_environment_and_no_other(history: History) -> None:
    checked(failing(history, 0, 1, 2, 3), 4)
    for service in ("checkout", "mail"):
        assert history.asks(5, service=service)["stop"].status == "failed"
        assert history.asks(5, service=service, environment="canary")["stop"].status == "passed"


def test_a_stop_that_stands_is_not_raised_twice(history: History) -> None:
    assert [checked(failing(history, 0, 1, 2, 3), 4), checked(history, 5), checked(history, 6)] == [
        "STOP-1",
        None,
        None,
    ]
    assert len(standing(history)) == 1


def test_each_environment_has_its_own(history: History) -> None:
    failing(failing(history, 0, 1, 2, 3), 4, 5, 6, 7, environment="canary")
    assert [checked(history, 8), checked(history, 8, "canary"), checked(history, 9, "canary")] == [
        "STOP-1",
        "STOP-2",
        None,
    ]
    assert [environment for _, environment, _ in standing(history)] == ["staging", "canary"]


def test_a_persons_own_stop_does_not_stand_for_it(history: History) -> None:
    failing(history, 0, 1, 2, 3)
    with history.ledger.transaction() as connection:
        stop.raise_(connection, history.ledger.now(connection), "dana", "maintenance", environment="staging")
    assert checked(history, 4) == "STOP-2"


@pytest.mark.parametrize(("minute", "again"), [(6, "STOP-2"), (30, None)], ids=["still failing", "long after"])
def test_lifted_it_is_raised_again_only_while_so_many_still_fail(
    history: History, minute: float, again: str | None
) -> None:
    name = checked(failing(history, 0, 1, 2, 3), 4)
    assert name is not None
    sign_off.lift(history.home, history.ledger, name, history.home.people.named("iris"), history.key("iris"))
    assert history.asks(5, service="mail")["stop"].status == "passed"
    assert checked(history, minute) == again


def hub(h: History, **policy: Any) -> History:
    """Everything needs mail."""
    return h.depends(**{name: ["mail"] for name in SERVICES[:4]}).policy(**policy)


def alerted(h: History, *minutes: float, environment: str = "staging") -> History:
    """At each of these minutes an alert opened the incident of another service."""
    for minute, service in zip(minutes, SERVICES, strict=False):
        h.opened(minute, service=service, environment=environment)
    return h


def lost(h: History, minute: float, *broken: str) -> History:
    """The canary of the last attempt lost these services."""
    h.minute = minute
    with h.ledger.transaction() as connection:
        made = attempts.get(connection, h.attempt)
        audit.append(
            connection, h.ledger.now(connection), "canary.failed", "x", "x", incident=made.incident,
            environment=made.environment, broken=list(broken),
        )  # fmt: skip
    return h


NEWLY: dict[str, tuple[bool, Callable[[History], History]]] = {
    "three alerts after the action": (True, lambda h: alerted(hub(h).tried(0, service="mail"), 1, 2, 3)),
    "two alerts": (False, lambda h: alerted(hub(h).tried(0, service="mail"), 1, 2)),
    "three alerts before the action": (False, lambda h: alerted(hub(h), 0, 1, 2).tried(3, service="mail")),
    "three alerts where nothing was done": (False, lambda h: alerted(hub(h), 1, 2, 3)),
    "three alerts after containment alone": (
        False, lambda h: alerted(hub(h).tried(0, "drain", "improved", service="mail"), 1, 2, 3)
    ),
    "three alerts of what does not depend on it": (False, lambda h: alerted(h.tried(0, service="mail"), 1, 2, 3)),
    "three alerts in another environment": (
        False, lambda h: alerted(hub(h).tried(0, service="mail"), 1, 2, 3, environment="canary")
    ),
    "three alerts, the action outside the window": (
        False, lambda h: alerted(hub(h).tried(-20, service="mail"), 1, 2, 3)
    ),
    "two alerts, where the policy says two": (
        True, lambda h: alerted(hub(h, cascade={"downstream": 2}).tried(0, service="mail"), 1, 2)
    ),
    "four alerts, where the policy says never": (
        False, lambda h: alerted(hub(h, cascade={"downstream": None}).tried(0, service="mail"), 1, 2, 3, 4)
    ),
    "three lost by a canary": (
        True, lambda h: lost(hub(h).tried(0, outcome="improved", service="mail"), 1, "login", "basket", "search")
    ),
    "one lost by a canary and two alerts": (
        True, lambda h: alerted(lost(hub(h).tried(0, service="mail"), 1, "login"), 2, 3)
    ),
    "one lost by a canary that alerts as well, and one more": (
        False, lambda h: alerted(lost(hub(h).tried(0, service="mail"), 1, "checkout"), 2, 3)
    ),
    "three lost by a canary long ago": (
        False, lambda h: lost(hub(h).tried(-30, service="mail"), -20, "login", "basket", "search")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NEWLY)
def test_a_stop_is_raised_when_so_many_services_newly_fail_downstream_of_an_action(history: History, case: str) -> None:
    raised, told = NEWLY[case]
    assert (checked(told(history), 6) is not None) is raised


def test_that_stop_names_the_services_too(history: History) -> None:
    checked(alerted(hub(history).tried(0, service="mail"), 1, 2, 3), 6)
    [(holder, environment, reason)] = standing(history)
    assert (holder, environment) == (cascade.HOLDER, "staging")
    assert (
        reason == "3 services newly failed within 15 minutes downstream of what was acted on: basket, checkout, search"
    )


def test_an_incident_that_was_closed_again_does_not_count(history: History) -> None:
    alerted(hub(history).tried(0, service="mail"), 1, 2, 3)
    with history.ledger.transaction() as connection:
        incidents.close(connection, history.ledger.now(connection), history.incident("search", "staging"), "x")
    assert checked(history, 6) is None


class Effect:
    """An effect on one service that does not help, in one way or another."""

    def __init__(self, service: str, way: str) -> None:
        self.service, self.way, self.state = service, way, "old"

    def plan(self) -> Change:
        return Change(target=self.service, before={"state": self.state}, after={"state": "new"})

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        return False

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return Propagation(True, "at once")

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        self.state = {"does nothing": "old", "ends halfway": "half"}.get(self.way, "new")
        if self.way != "does not help":
            raise EffectFailed(f"the platform {self.way}")
        return {"state": self.state}


@pytest.mark.parametrize("way", ["does not help", "does nothing", "ends halfway"])
def test_the_steps_themselves_raise_it_in_whatever_way_they_fail(
    tmp_path: Path, serve: Callable[..., str], way: str
) -> None:
    history = History(tmp_path / "told", probe=serve([b'{"ok": false}']))

    def step(service: str) -> None:
        request = history.request(history.named(Ask(service=service)))
        perform(Step(history.home, history.ledger, request, {}, history.book("purge"), Effect(service, way)))

    for service in SERVICES[:4]:
        assert standing(history) == []
        with suppress(ResponderError):
            step(service)
    assert [holder for holder, _, _ in standing(history)] == [cascade.HOLDER]
    with pytest.raises(Stopped, match="remedies failed on 4 services"):
        step(SERVICES[4])
