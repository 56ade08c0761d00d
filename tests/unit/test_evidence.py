"""Verdicts: without samples nothing is healthy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.criterion import Criterion
from sre_responder.evidence.http import Sample
from sre_responder.evidence.verdict import healthy_now, watch

CRITERION = Criterion(minimum_samples=3, interval_s=1, watch_s=6)
outcomes = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=20)


class Clock:
    def __init__(self, script: list[bool | None]) -> None:
        self.now, self.script = 0.0, script

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self) -> Sample:
        return Sample(self.now, self.script.pop(0) if len(self.script) > 1 else self.script[0], "scripted")


@given(outcomes)
def test_improved_means_that_the_last_samples_were_all_good(script: list[bool | None]) -> None:
    clock = Clock(script)
    verdict = watch(CRITERION, clock.take, clock, clock.sleep)
    tail = [one.ok for one in verdict.samples[-3:]]
    assert (verdict.state == "improved") == (tail == [True, True, True])


@given(outcomes)
def test_only_a_sample_that_was_measured_and_bad_says_not_improved(script: list[bool | None]) -> None:
    clock = Clock(script)
    verdict = watch(CRITERION, clock.take, clock, clock.sleep)
    if verdict.state == "not_improved":
        assert any(one.ok is False for one in verdict.samples)
    assert len(verdict.samples) <= 7


@given(outcomes)
def test_healthy_takes_every_sample_good(script: list[bool | None]) -> None:
    clock = Clock(list(script))
    verdict = healthy_now(CRITERION, clock.take, clock, clock.sleep)
    assert (verdict.state == "healthy") == ([one.ok for one in verdict.samples] == [True] * 3)


def test_nothing_measured_is_unknown_never_healthy() -> None:
    clock = Clock([None])
    assert healthy_now(CRITERION, clock.take, clock, clock.sleep).state == "unknown"
    assert watch(CRITERION, clock.take, clock, clock.sleep).state == "unknown"
