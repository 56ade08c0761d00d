"""How long an incident took: from the beginning of the failure to each milestone on the record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.incident.times import seconds
from sre_responder.ledger import audit
from sre_responder.ledger.audit import Entry


def entry(at: float, type: str, **data: Any) -> Entry:
    return Entry(1, audit.iso(at), "INC-1234", type, "dana", "", data, "", "")


OPENED, RUN = entry(110, "incident.opened"), entry(125, "run.started")
IMPROVED = entry(160, "action.ended", outcome="improved")


@pytest.mark.parametrize(
    ("entries", "mttd", "mtta", "mttr"),
    [
        ([], None, None, None),
        ([OPENED], 10, None, None),
        ([OPENED, RUN], 10, 25, None),
        ([OPENED, RUN, IMPROVED], 10, 25, 60),
        ([OPENED, RUN, entry(150, "action.skipped", reason="healthy")], 10, 25, 50),
        ([OPENED, RUN, entry(150, "action.skipped", reason="tried")], 10, 25, None),
        ([OPENED, RUN, entry(150, "action.ended", outcome="not_improved")], 10, 25, None),
        ([OPENED, RUN, entry(150, "action.ended", outcome="unknown")], 10, 25, None),
        ([OPENED, RUN, entry(140, "action.ended", outcome="not_improved"), IMPROVED], 10, 25, 60),
        (
            [OPENED, RUN, IMPROVED, entry(200, "run.started"), entry(210, "action.ended", outcome="improved")],
            10,
            25,
            60,
        ),
        ([OPENED, entry(130, "incident.acknowledged", acknowledged_at=120.0)], 10, 20, None),
        ([OPENED, RUN, entry(190, "incident.acknowledged", acknowledged_at=115.0)], 10, 15, None),
        ([OPENED, RUN, entry(190, "incident.acknowledged", acknowledged_at=180.0)], 10, 25, None),
        ([OPENED, entry(111, "note.added"), entry(112, "gate.blocked")], 10, None, None),
    ],
)
def test_each_milestone_is_the_first_of_its_kind(
    entries: list[Entry], mttd: float | None, mtta: float | None, mttr: float | None
) -> None:
    assert seconds(entries, 100.0) == {"mttd_s": mttd, "mtta_s": mtta, "mttr_s": mttr}


def test_where_nobody_knows_the_beginning_it_is_when_the_incident_was_opened() -> None:
    assert seconds([OPENED, RUN, IMPROVED], None) == {"mttd_s": 0, "mtta_s": 15, "mttr_s": 50}


def test_without_beginning_and_opening_no_time_is_made_up() -> None:
    assert seconds([RUN, IMPROVED], None) == {"mttd_s": None, "mtta_s": None, "mttr_s": None}


DRAINED = entry(130, "action.ended", outcome="improved", action="haproxy_drain", rung=0)
HEALTHY = entry(150, "action.skipped", reason="healthy", measured="healthy")
HELD = [
    ("containment", None, [DRAINED]),
    ("health while something is contained", None, [DRAINED, HEALTHY]),
    ("a remediation that helped after containment", 60, [DRAINED, IMPROVED]),
    ("health after containment was undone", 50,
     [DRAINED, entry(140, "action.ended", outcome="improved", action="undo", rung=0), HEALTHY]),
    ("an undo alone", None, [entry(140, "action.ended", outcome="improved", action="undo", rung=0)]),
    ("an improvement that the next measurement denied", None,
     [IMPROVED, entry(170, "action.ended", outcome="not_improved", rung=3)]),
    ("health that a step measured as gone", None, [HEALTHY, entry(155, "action.skipped", reason="tried", measured="unhealthy")]),
    ("a flapping service, from its last recovery on", 70,
     [HEALTHY, entry(160, "action.ended", outcome="not_improved"), entry(170, "action.ended", outcome="improved")]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "mttr", "entries"), HELD, ids=[case for case, *_ in HELD])
def test_only_a_measured_recovery_that_held_ends_the_clock(case: str, mttr: float | None, entries: list[Entry]) -> None:
    assert seconds([OPENED, RUN, *entries], 100.0)["mttr_s"] == mttr


MILESTONES = st.sampled_from(["incident.opened", "run.started", "action.ended", "action.skipped", "note.added"])


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), MILESTONES, st.sampled_from(["improved", "healthy", "tried"])), max_size=12
    )
)
def test_times_are_those_of_the_first_entries_whatever_else_is_on_the_record(rows: list[tuple[int, str, str]]) -> None:
    rows.sort(key=lambda row: row[0])
    found = seconds([entry(at, type, outcome=word, reason=word) for at, type, word in rows], 0.0)
    healed = [at for at, *what in rows if what in (["action.ended", "improved"], ["action.skipped", "healthy"])]
    expected = [
        [at for at, type, _ in rows if type == "incident.opened"],
        [at for at, type, _ in rows if type == "run.started"],
        healed,
    ]
    assert list(found.values()) == [min(times, default=None) for times in expected]
