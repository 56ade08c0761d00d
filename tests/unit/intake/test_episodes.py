"""Reports of one alert may come twice and in any order; they tell of the same episodes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.intake.alert import Alert
from sre_responder.intake.episodes import Span, follow

DAY = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def report(status: str, start: float | None, end: float | None = None) -> Alert:
    def at(minutes: float | None) -> Any:
        return None if minutes is None else datetime.fromtimestamp(DAY + 60 * minutes, UTC)

    return Alert.model_validate({"status": status, "labels": {}, "startsAt": at(start), "endsAt": at(end)})


def told(*reports: Alert, now: float = 600) -> tuple[list[bool], Span]:
    """Which of the reports began an episode, and the last one; times in minutes."""
    known: Span | None = None
    began = []
    for one in reports:
        known, new = follow(known, one, DAY + 60 * now)
        began.append(new)
    assert known is not None
    return began, Span((known.starts_at - DAY) / 60, None if known.ends_at is None else (known.ends_at - DAY) / 60)


def test_a_firing_report_behind_the_resolved_one_is_out_of_date() -> None:
    assert told(report("firing", 1), report("resolved", 1, 5), report("firing", 1)) == (
        [True, False, False],
        Span(1, 5),
    )


def test_a_resolved_report_before_the_firing_one_leaves_nothing_to_act_on() -> None:
    assert told(report("resolved", 1, 5), report("firing", 1)) == ([True, False], Span(1, 5))


def test_what_starts_behind_the_end_is_a_new_alert() -> None:
    assert told(report("firing", 1), report("resolved", 1, 5), report("firing", 7)) == (
        [True, False, True],
        Span(7, None),
    )


def test_the_late_end_of_an_earlier_alert_does_not_end_the_next() -> None:
    began, span = told(report("firing", 1), report("resolved", 1, 5), report("firing", 7), report("resolved", 1, 5))
    assert (began, span) == ([True, False, True, False], Span(7, None))


def test_two_senders_that_disagree_about_the_start_tell_of_one_alert() -> None:
    assert told(report("firing", 3), report("firing", 1), report("firing", 2)) == ([True, False, False], Span(3, None))


@pytest.mark.parametrize("end", [None, 5, 10**9])
def test_an_end_that_is_unknown_or_far_ahead_does_not_hide_the_next_alert(end: float | None) -> None:
    began, span = told(report("firing", 1), report("resolved", 1, min(end, 10**6) if end else None), now=5)
    again = follow(Span(DAY + 60 * span.starts_at, DAY + 60 * span.ends_at), report("firing", 9), DAY + 9 * 60)
    assert again[1] is True
    assert span.ends_at is not None and began == [True, False]


def test_a_report_without_times_begins_now() -> None:
    assert told(report("firing", None), now=3) == ([True], Span(3, None))


SPANS = [(1, 5), (7, 9), (12, 20)]
REPORTS = [report("firing", start) for start, _ in SPANS] + [report("resolved", start, end) for start, end in SPANS]


@given(st.lists(st.sampled_from(range(len(REPORTS))), min_size=1, max_size=20))
def test_in_any_order_no_alert_begins_twice(order: list[int]) -> None:
    began, span = told(*(REPORTS[number] for number in order))
    first_starts = [REPORTS[number].starts_at for number, new in zip(order, began, strict=True) if new]
    assert len(first_starts) == len(set(first_starts)) and began[0]
    assert span.ends_at is None or span.ends_at >= span.starts_at


@given(st.permutations([*range(len(REPORTS))] * 2))
def test_once_everything_was_told_the_last_alert_is_over(order: list[int]) -> None:
    *_, span = told(*(REPORTS[number] for number in order), *REPORTS[3:])
    assert span.ends_at == 20
