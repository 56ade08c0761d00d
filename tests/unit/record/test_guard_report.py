"""The guard's own account: each refusal has one fate, and what cannot be known is not guessed."""

from __future__ import annotations

from typing import Any

import pytest

from sre_responder.ledger.audit import Entry, iso
from sre_responder.record.guard_report import report

BLOCKED_BY_LOOP = ("gate.blocked", {"action": "restart", "gates": [{"name": "loop"}]})
ASKED = (
    "gate.blocked",
    {
        "action": "restart",
        "gates": [{"name": "approval", "clears_by_approval": True}, {"name": "budget", "clears_by_approval": True}],
    },
)
HEALTHY = ("action.skipped", {"action": "restart", "reason": "healthy"})
TRIED = ("action.skipped", {"action": "restart", "reason": "tried"})
STARTED = ("action.started", {"action": "restart"})
BY_A_PERSON = ("action.started", {"action": "restart", "approved_by": ["iris"]})
OTHER = ("action.started", {"action": "rollback", "approved_by": ["iris"]})


def entries(*told: tuple[str, dict[str, Any]], minutes: float = 1, incident: str = "INC-1234") -> list[Entry]:
    return [
        Entry(n, iso(n * minutes * 60), incident, type, "x", "", data, "", "") for n, (type, data) in enumerate(told, 1)
    ]


@pytest.mark.parametrize(
    ("told", "minutes", "fate"),
    [
        ([BLOCKED_BY_LOOP, HEALTHY], 1, "saves"),
        ([BLOCKED_BY_LOOP, TRIED, OTHER, HEALTHY], 1, "saves"),
        ([BLOCKED_BY_LOOP, BY_A_PERSON, HEALTHY], 1, "false_blocks"),
        ([BLOCKED_BY_LOOP, BY_A_PERSON], 10, "false_blocks"),
        ([BLOCKED_BY_LOOP, BY_A_PERSON], 11, "unknown"),
        ([BLOCKED_BY_LOOP, STARTED], 1, "unknown"),
        ([ASKED, BY_A_PERSON], 1, "asked_and_approved"),
        ([ASKED, HEALTHY], 1, "saves"),
        ([BLOCKED_BY_LOOP], 1, "unknown"),
        ([BLOCKED_BY_LOOP, OTHER], 1, "unknown"),
    ],
)
def test_each_refusal_has_one_fate(told: list[tuple[str, dict[str, Any]]], minutes: float, fate: str) -> None:
    found = report(entries(*told, minutes=minutes))
    fates = {name: getattr(found, name) for name in ("saves", "false_blocks", "asked_and_approved", "unknown")}
    assert fates == {**dict.fromkeys(fates, 0), fate: 1}


def test_what_happens_to_another_incident_is_no_fate_of_this_one() -> None:
    healed_elsewhere = [entry for entry in entries(TRIED, HEALTHY, incident="INC-9999") if entry.id == 2]
    assert report([*entries(BLOCKED_BY_LOOP), *healed_elsewhere]).unknown == 1


def test_decisions_are_what_was_allowed_and_what_was_refused() -> None:
    found = report(entries(STARTED, BLOCKED_BY_LOOP, ASKED, ASKED))
    assert (found.decisions, found.allowed, found.refused) == (4, 1, 3)
    assert found.by_gate == {"approval": 2, "budget": 2, "loop": 1}


def test_a_long_record_of_one_incident_is_read_once() -> None:
    class Counted(dict[str, Any]):
        reads = 0

        def get(self, *words: Any) -> Any:
            Counted.reads += 1
            return super().get(*words)

    told = [("gate.blocked", Counted(BLOCKED_BY_LOOP[1]))] * 1000
    assert report(entries(*told)).unknown == 1000
    assert Counted.reads <= 10_000
