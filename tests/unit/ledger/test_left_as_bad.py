"""What a rollback left is told to whoever meets it again; what was only tried, undone or done elsewhere is not."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update
from support.history import DAY, Ask, History

from sre_responder.ledger import left_as_bad
from sre_responder.ledger.schema import effects


def warned(h: History, book: str = "roll-back", **ask: Any) -> list[str]:
    """What a plan is told that is made two days later."""
    h.minute = 2 * DAY
    wanted = h.named(Ask(book, **ask))
    with h.ledger.transaction(reading=True) as connection:
        return left_as_bad.warnings(connection, h.plan(wanted, h.request(wanted)))


def left(h: History, outcome: Any = "improved", **ask: Any) -> History:
    return h.tried(0, "roll-back", outcome, **ask)


def test_a_target_that_is_in_that_state_again_is_told_with_day_and_incident(history: History) -> None:
    left(history)
    [said] = warned(history)
    assert said.endswith(
        f"is again in the state that attempt 1 of {history.incident('checkout', 'staging')} left as bad on 2027-01-15"
    )


def test_a_plan_that_returns_to_that_state_is_told_so(history: History) -> None:
    left(history, before={"state": "new"})
    [said] = warned(history, before={"state": "newest"})
    assert said.startswith("this returns localhost:release_rollback.checkout.staging to the state that attempt 1 of")


def test_what_is_in_another_state_is_not_told(history: History) -> None:
    left(history)
    assert warned(history, before={"state": "newest"}) == []


def test_another_target_and_another_service_are_not_told(history: History) -> None:
    left(history)
    assert warned(history, target="elsewhere") == []
    assert warned(history, service="search", target="release_rollback.checkout.staging") == []


@pytest.mark.parametrize("outcome", ["not_improved", "unknown"])
def test_a_rollback_that_did_not_help_says_nothing_of_what_it_left(history: History, outcome: str) -> None:
    assert warned(left(history, outcome)) == []


def test_a_rollback_that_was_undone_says_nothing_of_what_it_left(history: History) -> None:
    left(history)
    with history.ledger.transaction() as connection:
        connection.execute(update(effects).values(undone_at=history.clock))
    assert warned(history) == []


def test_a_restart_leaves_no_state_as_bad(history: History) -> None:
    history.tried(0, "restart", "improved")
    assert warned(history, "restart") == []


def test_the_state_of_another_kind_of_action_says_nothing(history: History) -> None:
    """A rollback on Kubernetes is told by the template, which the state of a scaled workload does not hold."""
    left(history)
    with history.ledger.transaction(reading=True) as connection:
        [one] = left_as_bad.of_service(connection, "checkout", "staging")
    elsewhere = one.plan.model_copy(update={"action": "kubernetes_rollback", "before": {"template": "abc"}})
    other = left_as_bad.Left(one.attempt, one.incident, one.at, one.host, elsewhere)
    assert not other.is_state({"replicas": 3}) and other.is_state({"template": "abc", "behind": ["a"]})
