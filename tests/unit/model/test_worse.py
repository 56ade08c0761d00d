"""An error rate far above its baseline is worse; one that nobody knows, and one that is only recorded, is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.evidence.verdict import Verdict, watch
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Baseline, Part, Place, Role, Sample
from sre_responder.model.worse import Worse

QUERY = {"source": "prometheus", "query": "errors", "name": "errors", "below": 0.05}
CRITERION = Criterion.model_validate({**QUERY, "error_rate": True, "watch_s": 600, "hold_s": 60, "interval_s": 15})
[LOOK] = CRITERION.must
RELATIVE = Worse(by="relative")


def sample(
    value: float | None, baseline: float | None = 0.02, role: Role = "must", look: Any = LOOK, at: float = 0
) -> Sample:
    one = Sample(at, None if value is None else value < 0.05, "measured", value=value, baseline=baseline)
    return Sample(at, one.ok, "measured", value=value, parts=(Part(role, look, one),))


@pytest.mark.parametrize(
    ("worse", "value", "baseline", "found"),
    [
        (Worse(), 0.13, 0.02, True),
        (Worse(), 0.12, 0.02, False),
        (Worse(points=5), 0.08, 0.02, True),
        (Worse(), 0.09, 0.0, False),
        (RELATIVE, 0.023, 0.02, True),
        (RELATIVE, 0.022, 0.02, False),
        (RELATIVE, 0.001, 0.0, True),
        (Worse(), None, 0.02, False),
        (Worse(), 0.9, None, False),
    ],
)
def test_more_points_above_the_baseline_than_the_policy_says_are_worse(
    worse: Worse, value: float | None, baseline: float | None, found: bool
) -> None:
    assert bool(worse.found(sample(value, baseline))) is found


def test_what_is_only_recorded_and_what_is_no_error_rate_is_not_judged() -> None:
    plain = Criterion.model_validate(QUERY).must[0]
    assert not Worse().found(sample(0.9, role="shadow")) and not Worse().found(sample(0.9, look=plain))
    assert Worse().found(sample(0.9, role="should"))


def watched(*rates: float | None, every: float = 15, worse: Worse | None = Worse()) -> Verdict:
    """A watch over these error rates; the last goes on for ever."""
    clock, script = [0.0], list(rates)

    def take() -> Sample:
        return sample(script.pop(0) if len(script) > 1 else script[0], at=clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    criterion = CRITERION.model_copy(update={"interval_s": every})
    return watch(criterion, take, lambda: clock[0], sleep, worse=worse)


def test_two_minutes_in_a_row_end_a_watch_of_ten() -> None:
    verdict = watched(0.01, 0.3)
    assert verdict.state == "not_improved" and len(verdict.samples) == 10, verdict.reason
    assert verdict.reason == "worse for 2 min in a row: errors 0.3 is above 0.12 (baseline 0.02)"


def test_a_look_that_is_merely_bad_may_recover_until_the_end() -> None:
    verdict = watched(*[0.1] * 40, 0.01)
    assert verdict.state == "improved", verdict.reason


def test_one_better_or_unmeasured_sample_begins_the_row_anew() -> None:
    for between in (0.05, None):
        verdict = watched(*[0.3] * 8, between, *[0.3] * 8, 0.01)
        assert verdict.state == "improved", verdict.reason


def test_without_a_limit_nothing_ends_early() -> None:
    assert len(watched(0.3, worse=None).samples) > 40


@given(st.lists(st.sampled_from([0.01, 0.3, None]), min_size=1, max_size=60))
def test_a_watch_ends_early_only_after_a_row_of_two_minutes(rates: list[float | None]) -> None:
    verdict = watched(*rates, 0.01)
    early = verdict.reason.startswith("worse for")
    taken = [one.value for one in verdict.samples]
    assert early is (taken[-9:] == [0.3] * 9), verdict.reason


def test_a_source_without_history_has_no_error_rate() -> None:
    postgresql = {"source": "postgresql", "query": "SELECT 1", "above": 0, "error_rate": True}
    with pytest.raises(ValidationError, match="keeps no history, so there is no baseline: leave error_rate out"):
        Criterion.model_validate(postgresql)


def test_the_baseline_that_a_rate_is_compared_with_stands_in_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(LOOK), "read", lambda self, place: 0.3)
    assert LOOK.measure(Place("checkout", "dev", baselines={LOOK.key: Baseline(0.02, "")})).baseline == 0.02
    unknown = LOOK.measure(Place("checkout", "dev", baselines={LOOK.key: Baseline(None, "no history")}))
    assert (unknown.ok, unknown.baseline) == (False, None)
