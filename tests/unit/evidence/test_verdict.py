"""Verdicts: without samples nothing is healthy, and one good sample is no health."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.criterion import Criterion
from sre_responder.evidence.http import Sample
from sre_responder.evidence.verdict import Verdict, healthy_now, watch

CRITERION = Criterion(minimum_samples=3, interval_s=1, watch_s=6)
outcomes = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=20)


class Clock:
    """A clock that sleeping moves, and samples that follow a script; its last line goes on for ever."""

    def __init__(self, script: list[bool | None]) -> None:
        self.now, self.script = 0.0, list(script)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self) -> Sample:
        return Sample(self.now, self.script.pop(0) if len(self.script) > 1 else self.script[0], "scripted")


def watched(*script: bool | None) -> Verdict:
    clock = Clock(list(script))
    return watch(CRITERION, clock.take, clock, clock.sleep)


def now(*script: bool | None) -> Verdict:
    clock = Clock(list(script))
    return healthy_now(CRITERION, clock.take, clock, clock.sleep)


@pytest.mark.parametrize(
    ("script", "state", "samples"),
    [
        ([True], "improved", 3),
        ([False, True], "improved", 4),
        ([None, True], "improved", 4),
        ([True, True, False, True, True, True], "improved", 6),
        ([False], "not_improved", 7),
        ([True, True, False], "not_improved", 7),
        ([True, True, False, True, True, False, True], "not_improved", 7),
        ([False, None], "unknown", 7),
        ([None], "unknown", 7),
        ([True, True, None], "unknown", 7),
        ([None, None, None, None, None, True], "unknown", 7),
    ],
)
def test_an_action_helped_once_enough_samples_in_a_row_are_good(
    script: list[bool | None], state: str, samples: int
) -> None:
    verdict = watched(*script)
    assert (verdict.state, len(verdict.samples)) == (state, samples), verdict.reason


@pytest.mark.parametrize(
    ("script", "state", "samples"),
    [
        ([True], "healthy", 3),
        ([False], "unhealthy", 1),
        ([True, True, False], "unhealthy", 3),
        ([None], "unknown", 1),
        ([True, None], "unknown", 2),
    ],
)
def test_the_first_sample_that_is_not_good_ends_the_look(script: list[bool | None], state: str, samples: int) -> None:
    verdict = now(*script)
    assert (verdict.state, len(verdict.samples)) == (state, samples)


@given(outcomes)
def test_improved_means_that_the_last_samples_were_all_good(script: list[bool | None]) -> None:
    verdict = watched(*script)
    tail = [one.ok for one in verdict.samples[-3:]]
    assert (verdict.state == "improved") == (tail == [True, True, True])


@given(outcomes)
def test_only_a_sample_that_was_measured_and_bad_says_not_improved(script: list[bool | None]) -> None:
    verdict = watched(*script)
    if verdict.state == "not_improved":
        assert any(one.ok is False for one in verdict.samples)
    assert len(verdict.samples) <= 7


@given(outcomes)
def test_healthy_takes_every_sample_good(script: list[bool | None]) -> None:
    verdict = now(*script)
    assert (verdict.state == "healthy") == ([one.ok for one in verdict.samples] == [True] * 3)


@given(outcomes)
def test_good_since_is_the_first_sample_of_the_unbroken_good_row_at_the_end(script: list[bool | None]) -> None:
    verdict = watched(*script)
    row = [one for one in verdict.samples if verdict.good_since is not None and one.at >= verdict.good_since]
    assert all(one.ok is True for one in row)
    assert (verdict.good_since is None) == (verdict.samples[-1].ok is not True)
    before = verdict.samples[: len(verdict.samples) - len(row)]
    assert not row or not before or before[-1].ok is not True


def test_a_stop_ends_the_watching_at_once_and_nothing_is_known() -> None:
    clock = Clock([False])
    verdict = watch(CRITERION, clock.take, clock, clock.sleep, interrupted=lambda: clock.now >= 2)
    assert (verdict.state, len(verdict.samples)) == ("unknown", 3)


def test_a_stop_does_not_take_back_what_was_measured_already() -> None:
    clock = Clock([True])
    assert watch(CRITERION, clock.take, clock, clock.sleep, interrupted=lambda: clock.now >= 2).state == "improved"


@pytest.mark.parametrize("minimum", [1, 5])
def test_the_minimum_of_samples_is_the_criterions(minimum: int) -> None:
    clock = Clock([True])
    criterion = CRITERION.model_copy(update={"minimum_samples": minimum})
    assert len(watch(criterion, clock.take, clock, clock.sleep).samples) == minimum
