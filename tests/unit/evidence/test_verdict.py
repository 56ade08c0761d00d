"""Verdicts: the window at the end decides, a lucky row inside a watch does not, and what was not measured is never good."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import size

from sre_responder.evidence.verdict import Verdict, healthy_now, watch
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Sample

DEFAULT = Criterion()
SMALL = Criterion(minimum_samples=3, interval_s=1, watch_s=4, hold_s=2)
"""Four samples that do not count, at 0 to 3 s, and three that do."""
LENIENT = SMALL.model_copy(update={"minimum_samples": 10, "good_share": 0.8})
outcomes = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=20)


class Clock:
    """A clock that sleeping moves, and samples that follow a script; its last line goes on for ever."""

    def __init__(self, script: Sequence[bool | None], sample_s: float = 0.0) -> None:
        self.now, self.script, self.sample_s = 0.0, list(script), sample_s

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self) -> Sample:
        at, self.now = self.now, self.now + self.sample_s
        return Sample(at, self.script.pop(0) if len(self.script) > 1 else self.script[0], "scripted")


class Service(Clock):
    """One that answers this share of its requests well."""

    def __init__(self, success_rate: float, chance: random.Random) -> None:
        super().__init__([True])
        self.success_rate, self.chance = success_rate, chance

    def take(self) -> Sample:
        return Sample(self.now, self.chance.random() < self.success_rate, "measured")


def watched(*script: bool | None, criterion: Criterion = SMALL) -> Verdict:
    clock = Clock(script)
    return watch(criterion, clock.take, clock, clock.sleep)


def now(*script: bool | None, criterion: Criterion = SMALL) -> Verdict:
    clock = Clock(script)
    return healthy_now(criterion, clock.take, clock, clock.sleep)


T, F, N = True, False, None
GOOD = (T, T, T, T)
BAD = (F, F, F, F)


@pytest.mark.parametrize(
    ("script", "state", "samples"),
    [
        ((T,), "improved", 7),
        ((*BAD, T), "improved", 7),
        ((N, N, N, N, T), "improved", 7),
        ((*GOOD, F), "not_improved", 5),
        ((*GOOD, T, F), "not_improved", 6),
        ((*GOOD, T, T, F), "not_improved", 7),
        ((*GOOD, F, T, T), "not_improved", 5),
        ((*GOOD, N), "unknown", 7),
        ((*GOOD, N, T, T), "unknown", 7),
        ((*GOOD, T, T, N), "unknown", 7),
        ((*GOOD, N, F), "not_improved", 6),
        ((*BAD, N), "unknown", 7),
        ((F,), "not_improved", 5),
        ((N,), "unknown", 7),
    ],
)
def test_the_window_at_the_end_of_the_watch_decides(script: Sequence[bool | None], state: str, samples: int) -> None:
    verdict = watched(*script)
    assert (verdict.state, len(verdict.samples)) == (state, samples), verdict.reason


@pytest.mark.parametrize(
    ("script", "state", "samples"),
    [
        ((T,), "healthy", 3),
        ((F,), "unhealthy", 1),
        ((T, T, F), "unhealthy", 3),
        ((N,), "unknown", 1),
        ((T, N), "unknown", 2),
    ],
)
def test_a_look_ends_as_soon_as_the_window_cannot_be_good(
    script: Sequence[bool | None], state: str, samples: int
) -> None:
    verdict = now(*script)
    assert (verdict.state, len(verdict.samples)) == (state, samples)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ((F, T), "healthy"),
        ((F, F, T), "healthy"),
        ((F, F, F, T), "unhealthy"),
        ((N, F, T), "healthy"),
        ((N, N, F, T), "unknown"),
    ],
)
def test_a_window_may_spare_the_share_that_the_criterion_allows(script: Sequence[bool | None], state: str) -> None:
    assert LENIENT.spare == 2
    assert now(*script, criterion=LENIENT).state == state


@pytest.mark.parametrize("relapse_s", [5, 10, 20, 29])
def test_a_service_that_fails_again_before_the_watch_ends_is_not_healed(relapse_s: int) -> None:
    """As a program does that crashes some seconds after each restart."""
    criterion = Criterion(watch_s=30)
    verdict = watched(*[T] * (relapse_s * 5), F, criterion=criterion)
    assert verdict.state == "not_improved"


@pytest.mark.parametrize("watch_s", [6, 30, 600])
def test_a_service_that_fails_half_the_time_is_not_healed_however_long_it_is_watched(watch_s: float) -> None:
    criterion, chance = Criterion(watch_s=watch_s), random.Random(20261126)

    def passes(judge: Callable[[Service], Verdict]) -> bool:
        return judge(Service(0.5, chance)).state in ("improved", "healthy")

    rounds = size.of(20, 200)
    assert not any(passes(lambda it: watch(criterion, it.take, it, it.sleep)) for _ in range(rounds))
    assert not any(passes(lambda it: healthy_now(criterion, it.take, it, it.sleep)) for _ in range(rounds))


def test_by_default_half_the_answers_pass_at_most_once_in_ten_thousand_also_over_a_whole_ladder() -> None:
    """Exactly, not sampled; and by the fewest samples that the window may take, in each of 100 verdicts of a run."""
    fewest = Criterion(hold_s=0)
    assert fewest.samples == DEFAULT.minimum_samples == 20
    assert 100 * fewest.chance(0.5) <= 1e-4
    assert DEFAULT.samples == 51
    assert DEFAULT.chance(0.5) < 1e-15
    assert DEFAULT.chance(0.9) < 0.005
    assert 0.59 < DEFAULT.chance(0.99) < 0.61
    assert DEFAULT.chance(1.0) == 1.0


@pytest.mark.parametrize("criterion", [SMALL, LENIENT, Criterion(minimum_samples=2, hold_s=0, good_share=0.6)])
@pytest.mark.parametrize("success_rate", [0.5, 0.9])
def test_the_probability_is_that_of_the_verdicts_themselves(criterion: Criterion, success_rate: float) -> None:
    chance, rounds = random.Random(7), 3000
    passed = 0
    for _ in range(rounds):
        service = Service(success_rate, chance)
        passed += watch(criterion, service.take, service, service.sleep).state == "improved"
    assert passed / rounds == pytest.approx(criterion.chance(success_rate), abs=0.04)


@pytest.mark.parametrize(("hold_s", "minimum", "samples"), [(10, 20, 51), (0, 20, 20), (10, 60, 60), (0, 1, 1)])
def test_a_window_is_as_long_as_asked_and_never_of_fewer_samples(hold_s: float, minimum: int, samples: int) -> None:
    criterion = Criterion(hold_s=hold_s, minimum_samples=minimum)
    verdict = now(T, criterion=criterion)
    assert len(verdict.samples) == criterion.samples == samples
    assert verdict.samples[-1].at - verdict.samples[0].at >= hold_s - 1e-6


def test_a_criterion_that_half_the_samples_meet_is_none() -> None:
    with pytest.raises(ValidationError, match="good_share"):
        Criterion(good_share=0.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hold_s": float("inf")}, "finite number"),
        ({"interval_s": float("nan")}, "finite number"),
        ({"minimum_samples": 10**9}, "lower minimum_samples"),
        ({"hold_s": 1e300, "interval_s": 1e-300}, "samples, and at most 100000"),
    ],
)
def test_a_window_that_never_ends_is_refused_where_it_is_read(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Criterion(**settings)


@given(st.integers(1, 400), st.floats(0.55, 1), st.floats(0.01, 0.99))
def test_the_chance_is_that_of_the_binomial_distribution(minimum: int, share: float, rate: float) -> None:
    criterion = Criterion(minimum_samples=minimum, hold_s=0, good_share=share)
    q = Fraction(rate)
    exact = sum(
        math.comb(criterion.samples, bad) * (1 - q) ** bad * q ** (criterion.samples - bad)
        for bad in range(criterion.spare + 1)
    )
    assert criterion.chance(rate) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_a_slow_probe_is_asked_again_at_once_and_its_time_is_not_added_to_the_interval() -> None:
    slow, quick = Clock([T], sample_s=2.5), Clock([T], sample_s=0.4)
    for clock in (slow, quick):
        watch(SMALL, clock.take, clock, clock.sleep)
    assert quick.now == pytest.approx(6.4)
    assert slow.now == pytest.approx(5 * 2.5)


@given(outcomes)
def test_improved_means_that_every_sample_of_the_window_was_good(script: list[bool | None]) -> None:
    verdict = watched(*script)
    window = [one.ok for one in verdict.samples if one.at >= 4]
    assert (verdict.state == "improved") == (window == [True] * 3)


@given(outcomes)
def test_only_a_sample_of_the_window_that_was_measured_and_bad_says_not_improved(script: list[bool | None]) -> None:
    verdict = watched(*script)
    assert (verdict.state == "not_improved") == any(one.ok is False for one in verdict.samples if one.at >= 4)
    assert len(verdict.samples) <= 7


@given(outcomes)
def test_a_verdict_counts_every_sample_of_the_watch_and_says_so(script: list[bool | None]) -> None:
    verdict = watched(*script)
    assert sum(verdict.counts) == len(verdict.samples)
    alike = len({one.ok for one in verdict.samples}) == 1
    assert (f"all {len(verdict.samples)} samples" if alike else str(verdict.counts)) in verdict.reason
    good, bad, unmeasured = (sum(one.ok is ok for one in verdict.samples) for ok in (True, False, None))
    assert verdict.counts == (good, bad, unmeasured)


@given(outcomes)
def test_what_held_is_dated_from_the_beginning_of_its_window(script: list[bool | None]) -> None:
    verdict = watched(*script)
    assert verdict.since == (4 if verdict.state == "improved" else None)


def test_a_stop_ends_the_watching_at_once_and_nothing_is_known() -> None:
    clock = Clock([False])
    verdict = watch(SMALL, clock.take, clock, clock.sleep, interrupted=lambda: clock.now >= 2)
    assert (verdict.state, len(verdict.samples)) == ("unknown", 3)


def test_a_stop_does_not_take_back_what_was_measured_already() -> None:
    clock = Clock([True])
    assert watch(SMALL, clock.take, clock, clock.sleep, interrupted=lambda: clock.now >= 6).state == "improved"
