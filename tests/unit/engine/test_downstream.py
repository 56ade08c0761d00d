"""What depends on a service: bad twice in a row is lost, chance is not, and unknown at the end counts against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sre_responder.engine.downstream import LOOKS, UNSTEADY, looked, lost
from sre_responder.model.look import Sample

Oks = Sequence[bool | None]


def taking(oks: Oks) -> Callable[[], Sample]:
    """One sample after the other; the last for ever."""
    left: Iterator[bool | None] = iter(oks)
    last = [oks[-1]]

    def take() -> Sample:
        return Sample(0, next(left, last[0]), "x")

    return take


def losing(seconds: float, interrupted: bool = False, **services: Oks) -> tuple[set[str], float]:
    """What is lost in a canary of so many seconds with a sample each second, and after how many seconds that was known."""
    clock = [0.0]

    def sleep(span: float) -> None:
        clock[0] += span

    takes = {name: taking(oks) for name, oks in services.items()}
    return set(lost(takes, seconds, 1, lambda: interrupted, lambda: clock[0], sleep)), clock[0]


def test_what_stays_good_to_the_end_is_not_lost() -> None:
    assert losing(60, web=[True], api=[True]) == (set(), 60)


def test_what_is_bad_twice_in_a_row_is_lost_at_once() -> None:
    assert losing(60, web=[True, False, False], api=[True]) == ({"web"}, 2)


def test_one_bad_sample_is_chance_also_at_the_end() -> None:
    assert losing(2, web=[True, False, True], api=[True]) == (set(), 2)
    assert losing(2, web=[True, True, False, True]) == (set(), 3)
    assert losing(2, web=[True, True, False, False]) == ({"web"}, 3)


def test_what_cannot_be_measured_at_the_end_is_lost_and_in_the_middle_is_not() -> None:
    assert losing(3, web=[True, None, None, True]) == (set(), 3)
    assert losing(3, web=[True, True, True, None]) == ({"web"}, 3)


def test_a_canary_of_no_seconds_is_one_look() -> None:
    assert losing(0, web=[True, False]) == (set(), 0)


def test_nothing_downstream_is_waited_for_all_the_same() -> None:
    assert losing(60) == (set(), 60)


def test_a_stop_ends_it() -> None:
    assert losing(60, interrupted=True, web=[True])[1] == 0


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=12))
def test_nothing_that_is_bad_or_unknown_at_the_end_counts_as_stable(oks: list[bool | None]) -> None:
    gone, ended = losing(len(oks) - 1, web=oks)
    seen = [*oks, oks[-1]][: int(ended) + 1]
    twice = any(one is two is False for one, two in pairwise(seen))
    assert bool(gone) == (twice or seen[-1] is None)


def seen(**services: Oks) -> tuple[dict[str, str], int]:
    """The state of each service, and how often was waited for it."""
    slept: list[float] = []
    return looked({name: taking(oks) for name, oks in services.items()}, slept.append), len(slept)


def test_a_service_is_called_healthy_or_unhealthy_by_every_look_at_it() -> None:
    assert seen(web=[True], api=[False]) == ({"web": "healthy", "api": "unhealthy"}, LOOKS - 1)


def test_what_answers_well_and_badly_by_turns_is_neither_and_is_looked_at_no_more() -> None:
    assert seen(web=[True, False]) == ({"web": UNSTEADY}, 1)
    assert seen(web=[False, False, False, True]) == ({"web": UNSTEADY}, LOOKS - 1)


def test_what_cannot_be_measured_says_why_and_is_not_waited_for() -> None:
    assert seen(mail=[None]) == ({"mail": "x"}, 0)
    assert seen(mail=[True, None])[0] == {"mail": "x"}
