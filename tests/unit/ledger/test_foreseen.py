"""Containment for a time ends when its plan said, and what stands for ever never does."""

from __future__ import annotations

from support.history import History

from sre_responder.ledger import foreseen


def due(h: History, minute: float) -> tuple[int, ...]:
    h.minute = minute
    with h.ledger.transaction(reading=True) as connection:
        return foreseen.due(connection, h.ledger.now(connection))


def test_each_hold_is_over_in_its_own_time_and_a_drain_in_none(history: History) -> None:
    history.tried(0, "hold", "improved", arguments={"minutes": 30}).tried(0, "drain", "improved")
    history.tried(10, "hold", "improved", arguments={"minutes": 5})
    assert [due(history, minute) for minute in (9, 14.9, 15.1, 30.1, 10_000)] == [(), (), (3,), (1, 3), (1, 3)]


def test_what_is_undone_or_of_unknown_outcome_is_not_over(history: History) -> None:
    history.tried(0, "hold", "unknown", arguments={"minutes": 5})
    assert due(history, 60) == (), "nobody knows what is to be undone"
    history.settled(60, "done")
    assert due(history, 66) == (1,)
