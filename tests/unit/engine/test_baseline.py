"""A baseline is taken once, from before the incident began, and is never taken again from sick data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.light import home_with

from sre_responder.engine.baseline import RECORDED, baselines
from sre_responder.evidence.baseline import LEAD_S
from sre_responder.evidence.sources.prometheus import Prometheus
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Baseline, NotMeasured, Place

HOUR, DAY = 3600, 86_400
CRITERION = Criterion.model_validate({"source": "prometheus", "query": "errors", "below": {"times": 2}})
KEY = CRITERION.must[0].key
PLACE = Place("checkout", "dev")
History = Callable[[float, float], Sequence[float]]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    home = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    return Ledger(home.ledger_url)


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Callable[[History], list[tuple[float, float]]]:
    """`history(numbers)` is the list of the times that were asked for."""

    def given(numbers: History) -> list[tuple[float, float]]:
        asked: list[tuple[float, float]] = []

        def read(_: Prometheus, place: Place, start: float, end: float) -> Sequence[float]:
            asked.append((start, end))
            return numbers(start, end)

        monkeypatch.setattr(Prometheus, "history", read)
        return asked

    return given


def began(ledger: Ledger) -> float:
    with ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, "INC-1234")
        assert row is not None
        return float(row.started_at or row.opened_at)


def recorded(ledger: Ledger) -> list[audit.Entry]:
    with ledger.transaction(reading=True) as connection:
        return list(audit.entries(connection, type=RECORDED))


def test_it_is_of_the_same_time_yesterday_and_a_week_ago(
    ledger: Ledger, history: Callable[[History], list[tuple[float, float]]]
) -> None:
    asked = history(lambda start, end: [0.25] * 60)
    found = baselines(ledger, "INC-1234", CRITERION, PLACE, record=True)[KEY]
    end = began(ledger) - LEAD_S
    assert asked == [(end - ago - HOUR, end - ago) for ago in (DAY, 7 * DAY)]
    assert found == Baseline(0.25, "median of 120 values of yesterday and a week ago")


def test_it_is_recorded_once_and_never_taken_again(
    ledger: Ledger, history: Callable[[History], list[tuple[float, float]]]
) -> None:
    history(lambda start, end: [0.25] * 60)
    first = baselines(ledger, "INC-1234", CRITERION, PLACE, record=True)
    sick = history(lambda start, end: [0.99] * 60)
    assert baselines(ledger, "INC-1234", CRITERION, PLACE, record=True) == first
    assert sick == [], "nothing is asked again"
    [entry] = recorded(ledger)
    assert (entry.incident, entry.data["look"], entry.data["value"]) == ("INC-1234", KEY, 0.25)


def test_a_dry_run_records_none(ledger: Ledger, history: Callable[[History], list[tuple[float, float]]]) -> None:
    history(lambda start, end: [0.25] * 60)
    assert baselines(ledger, "INC-1234", CRITERION, PLACE, record=False)[KEY].value == 0.25
    assert recorded(ledger) == []


@pytest.mark.parametrize(
    ("numbers", "value", "words"),
    [
        (lambda ago: [1.0] * 60 if ago < DAY else [], 1.0, "the hour before"),
        (lambda ago: [1.0] * 60 if DAY < ago < 2 * DAY else [], 1.0, "60 values of yesterday"),
        (lambda ago: [1.0] * 60 if ago > 6 * DAY else [], 1.0, "60 values of a week ago"),
        (lambda ago: [1.0] * 9, None, "fewer than 10 values"),
        (lambda ago: [float("nan")] * 60, None, "fewer than 10 values"),
        (lambda ago: [], None, "fewer than 10 values"),
        (lambda ago: [*[1.0] * 40, *[50.0] * 20], 1.0, "median of 120 values"),
    ],
)
def test_what_history_there_is_decides(
    ledger: Ledger, history: Callable[[History], list[tuple[float, float]]],
    numbers: Callable[[float], Sequence[float]], value: float | None, words: str,
) -> None:  # fmt: skip
    history(lambda start, end: numbers(began(ledger) - end))
    found = baselines(ledger, "INC-1234", CRITERION, PLACE, record=True)[KEY]
    assert (found.value, words in found.reason) == (value, True), found.reason
    assert len(recorded(ledger)) == (value is not None)


def test_a_source_that_does_not_answer_gives_no_baseline_and_is_asked_again(
    ledger: Ledger, history: Callable[[History], list[tuple[float, float]]]
) -> None:
    def broken(start: float, end: float) -> Sequence[float]:
        raise NotMeasured("cannot reach it")

    history(broken)
    assert baselines(ledger, "INC-1234", CRITERION, PLACE, record=True)[KEY] == Baseline(None, "cannot reach it")
    history(lambda start, end: [1.0] * 60)
    assert baselines(ledger, "INC-1234", CRITERION, PLACE, record=True)[KEY].value == 1.0


def test_a_criterion_that_is_not_relative_asks_nothing(
    ledger: Ledger, history: Callable[[History], list[tuple[float, float]]]
) -> None:
    asked = history(lambda start, end: [1.0] * 60)
    absolute = Criterion.model_validate({"source": "prometheus", "query": "errors", "below": 2})
    assert (baselines(ledger, "INC-1234", absolute, PLACE, record=True), asked) == ({}, [])
