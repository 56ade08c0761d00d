"""Who has an incident in hand: five levels that only rise, each for a cause that is on the record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.history import History

from sre_responder.emergency import cascade, stop
from sre_responder.incident import escalation
from sre_responder.incident.escalation import ESCALATED, LEVELS, Level, transitions
from sre_responder.ledger import audit, incidents
from sre_responder.ledger.audit import Entry

ONE, TWO, THREE = ("a",), ("a", "b"), ("a", "b", "c")


def entry(type: str, id: int = 1, **data: Any) -> Entry:
    return Entry(id, audit.iso(100), "INC-1234", type, "dana", f"what {type} says", data, "", "")


OPENED, STARTED = entry("incident.opened"), entry("action.started")
CASES: dict[str, tuple[list[Level], Level | None, list[Entry], tuple[str, ...], bool]] = {
    "an incident is opened": (["diagnose"], None, [OPENED], ONE, False),
    "an action starts": (["automatic"], "diagnose", [STARTED], ONE, False),
    "one that did not help, with rungs left": (
        [], "automatic", [entry("action.ended", outcome="not_improved")], ONE, False,
    ),
    "an outcome that is unknown": (["on_call"], "automatic", [entry("action.ended", outcome="unknown")], ONE, False),
    "a handover": (["on_call"], "automatic", [entry("handoff.made")], ONE, False),
    "a gate that refused": (["on_call"], "automatic", [entry("gate.blocked", stopped=False)], ONE, False),
    "a stop that a person raised": ([], "automatic", [entry("gate.blocked", stopped=True)], ONE, False),
    "a second service": (["on_call"], "diagnose", [STARTED], TWO, False),
    "a third service": (["commander"], "on_call", [STARTED], THREE, False),
    "three services at once": (["commander"], None, [OPENED], THREE, False),
    "a cascade": (["stopped"], "automatic", [entry("action.ended", outcome="not_improved")], ONE, True),
    "a cascade over three services": (["stopped"], "commander", [OPENED], THREE, True),
    "a whole incident": (["diagnose", "automatic", "on_call"], None, [OPENED, STARTED, entry("handoff.made")], ONE, False),
    "an action after the handover": ([], "on_call", [STARTED], ONE, False),
    "nothing": ([], "diagnose", [], THREE, True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_transitions(case: str) -> None:
    expected, level, entries, services, cascaded = CASES[case]
    made = list(transitions(level, entries, services, cascaded=cascaded))
    assert [one.level for one in made] == expected
    assert all(one.cause for one in made)


TYPES = ("incident.opened", "action.started", "action.ended", "handoff.made", "gate.blocked", "note.added")


@given(
    st.sampled_from([None, *LEVELS]),
    st.lists(st.sampled_from(TYPES)),
    st.sampled_from([ONE, TWO, THREE]),
    st.booleans(),
)
def test_a_level_only_rises_and_reading_again_changes_nothing(
    level: Level | None, types: list[str], services: tuple[str, ...], cascaded: bool
) -> None:
    entries = [entry(type, number, outcome="unknown") for number, type in enumerate(types, 1)]
    made = list(transitions(level, entries, services, cascaded=cascaded))
    ranks = [-1 if one is None else LEVELS.index(one) for one in (level, *(one.level for one in made))]
    assert ranks == sorted(set(ranks))
    last = made[-1].level if made else level
    assert not list(transitions(last, entries, services, cascaded=cascaded))


def caught_up(h: History, service: str = "checkout") -> Level | None:
    with h.ledger.transaction() as connection:
        return escalation.catch_up(connection, h.ledger.now(connection), h.home, h.incident(service, "staging"))


def escalated(h: History) -> list[tuple[str | None, str, str]]:
    with h.ledger.transaction(reading=True) as connection:
        made = audit.entries(connection, type=ESCALATED)
        return [(entry.data["before"], entry.data["level"], entry.data["cause"]) for entry in made]


def paged(h: History) -> list[str]:
    from sre_responder.ledger.schema import outbox

    with h.ledger.transaction(reading=True) as connection:
        messages = connection.execute(outbox.select()).mappings()
        return [row["message"] for row in messages if ESCALATED in row["message"]]


def test_each_transition_is_on_the_record_once_with_its_cause(history: History) -> None:
    history.opened(0)
    assert (caught_up(history), caught_up(history)) == ("diagnose", "diagnose")
    history.tried(1, outcome="running")
    assert caught_up(history) == "automatic"
    assert [(before, level) for before, level, _ in escalated(history)] == [
        (None, "diagnose"),
        ("diagnose", "automatic"),
    ]
    assert paged(history) == [], "nobody is woken for what runs by itself"


def test_services_that_fail_around_it_page_on_call_and_then_the_commander(history: History) -> None:
    history.depends(login=["basket"], basket=["search"]).opened(0, service="login")
    assert caught_up(history, "login") == "diagnose"
    history.opened(1, service="basket")
    assert caught_up(history, "login") == "on_call"
    history.opened(2, service="search")
    assert caught_up(history, "login") == "commander"
    assert escalated(history)[-1] == ("on_call", "commander", "3 services: basket, login, search")
    assert ['"audience":"on_call"' in one for one in paged(history)] == [True, False]


def test_a_cascade_stops_and_hands_over(history: History) -> None:
    history.opened(0).tried(1)
    with history.ledger.transaction() as connection:
        stop.raise_(connection, history.ledger.now(connection), cascade.HOLDER, "storm", environment="staging")
    assert caught_up(history) == "stopped"
    assert escalated(history)[-1][2] == "a cascade raised the emergency stop"


def test_an_incident_that_is_closed_or_unknown_is_at_no_level(history: History) -> None:
    history.opened(0)
    with history.ledger.transaction() as connection:
        incidents.close(connection, history.ledger.now(connection), history.incident("checkout", "staging"), "x")
        assert escalation.catch_up(connection, history.ledger.now(connection), history.home, "INC-9999") is None
    assert caught_up(history) is None
    assert escalated(history) == []
