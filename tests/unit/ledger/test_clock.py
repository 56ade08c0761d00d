"""A clock that jumps opens no lockout, empties no window, hides no cascade and ends no containment: however it jumped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.history import SERVICES, History

from sre_responder.emergency import cascade
from sre_responder.ledger import audit, clock, foreseen
from sre_responder.ledger.clock import Jump, before

DAY = 24 * 60


def set_ahead(h: History, minute: float) -> History:
    """The clock is a day ahead from now on."""
    return h.jumped(minute, DAY)


def set_ahead_and_back(h: History, minute: float) -> History:
    """The clock was a day ahead for a moment, in which something was put on the record."""
    return h.jumped(minute, DAY).noted().jumped(minute, -DAY)


def set_ahead_and_back_twice(h: History, minute: float) -> History:
    return set_ahead_and_back(set_ahead_and_back(h, minute), minute)


def another_machine(h: History, minute: float) -> History:
    """A machine whose clock is a day ahead put one entry on the record: nothing says how long it has been up."""
    told, h.ledger.boot = h.ledger.boot, lambda: ("", 0.0)
    set_ahead_and_back(h, minute)
    h.ledger.boot = told
    return h


def set_ahead_in_small_steps(h: History, minute: float) -> History:
    """Nothing is put on the record but in the end."""
    for _ in range(24):
        h.jumped(minute, DAY / 24)
    return h


JUMPS = [set_ahead, set_ahead_and_back, set_ahead_and_back_twice, another_machine, set_ahead_in_small_steps]


@pytest.fixture(params=JUMPS)
def jump(request: pytest.FixtureRequest) -> Callable[[History, float], History]:
    made: Callable[[History, float], History] = request.param
    return made


Jumping = Callable[[History, float], History]


def test_attempts_on_both_sides_of_a_jump_close_a_remedy_off(history: History, jump: Jumping) -> None:
    history.tried(0)
    jump(history, 1).tried(2)
    assert history.asks(3)["loop"].status == "failed"


def test_attempts_that_real_time_lies_between_do_not(history: History) -> None:
    """On a clock that stays ahead, and after the jump was put on the record."""
    history.tried(0)
    set_ahead(history, 1).noted().tried(20)
    assert history.asks(21)["loop"].status == "passed"


def test_rollbacks_before_a_jump_count_after_it(history: History, jump: Jumping) -> None:
    for minute, service in zip((0, 1, 2), SERVICES, strict=False):
        history.tried(minute, "roll-back", "improved", service=service)
    assert jump(history, 3).asks(4, "roll-back", service=SERVICES[3])["rollback"].status == "failed"


def test_rollbacks_count_no_more_after_so_much_real_time(history: History) -> None:
    for minute, service in zip((0, 1, 2), SERVICES, strict=False):
        history.tried(minute, "roll-back", "improved", service=service)
    assert set_ahead(history, 3).asks(40, "roll-back", service=SERVICES[3])["rollback"].status == "passed"


def test_services_that_fail_on_both_sides_of_a_jump_are_a_cascade(history: History, jump: Jumping) -> None:
    for minute, service in enumerate(SERVICES[:3]):
        history.tried(minute, service=service)
    jump(history, 3).policy(cascade={"services": 3})
    history.minute = 4
    with history.ledger.transaction() as connection:
        assert cascade.check(connection, history.ledger.now(connection), history.home, "staging") is not None


def test_what_is_contained_for_a_time_stays_so(history: History, jump: Jumping) -> None:
    history.tried(0, "hold", "improved", arguments={"minutes": 30})
    jump(history, 1).minute = 2
    with history.ledger.transaction(reading=True) as connection:
        assert foreseen.due(connection, history.ledger.now(connection)) == ()
    jump(history, 3).noted().minute = 4
    with history.ledger.transaction(reading=True) as connection:
        assert foreseen.due(connection, history.ledger.now(connection)) == ()


def test_what_is_contained_for_a_time_ends_when_it_has_passed_on_a_clock_that_is_ahead(history: History) -> None:
    history.tried(0, "hold", "improved", arguments={"minutes": 30})
    set_ahead(history, 1).noted().minute = 31
    with history.ledger.transaction(reading=True) as connection:
        assert foreseen.due(connection, history.ledger.now(connection)) == (1,)


def test_two_healthy_moments_around_a_jump_are_no_healthy_period(history: History) -> None:
    """Thirty seconds apart, and a clock that moved on by as much more as a period lacks."""
    history.policy(loop={"healthy_seconds": 300})
    history.tried(0).tried(1)
    history.healthy(2).jumped(2.5, 4).healthy(2.9)
    assert history.asks(3)["loop"].status == "failed"


def test_a_jump_is_on_the_record_once(history: History, jump: Jumping) -> None:
    history.noted()
    jump(history, 1).noted().noted()
    told = jumps_told(history)
    assert told[0] == pytest.approx(DAY, abs=1.1)
    assert len(told) == 1 or jump is set_ahead_and_back_twice
    assert audit.verify(history.ledger).ok


def jumps_told(history: History) -> list[float]:
    """The minutes of each jump that is on the record."""
    with history.ledger.transaction(reading=True) as connection:
        return [one.data["seconds"] / 60 for one in audit.entries(connection, type=clock.JUMPED)]


@pytest.mark.parametrize("by", [-5, -DAY])
def test_what_lies_between_a_clock_and_the_same_clock_set_back_may_not_have_passed(history: History, by: float) -> None:
    """Nobody knows which of the two was wrong."""
    history.noted().jumped(1, by).noted()
    assert jumps_told(history) == [pytest.approx(-by, abs=1.1)]


@pytest.mark.parametrize("by", [0.9, -0.9])
def test_a_clock_that_is_corrected_has_not_jumped(history: History, by: float) -> None:
    history.noted().jumped(1, by).noted()
    assert jumps_told(history) == []


def test_quiet_days_are_no_jump(history: History) -> None:
    history.noted()
    history.minute = 30 * DAY
    history.noted()
    assert jumps_told(history) == []


def test_a_machine_that_was_started_again_is_no_jump(history: History) -> None:
    history.noted()
    history.minute, history.ledger.boot = DAY, lambda: ("another boot", 60.0)
    history.noted()
    assert jumps_told(history) == []


@given(
    now=st.floats(0, 1e6),
    seconds=st.floats(0, 1e5),
    jumps=st.lists(st.builds(Jump, at=st.floats(0, 1e6), seconds=st.floats(60, 1e5)), max_size=5),
)
def test_a_jump_makes_a_window_longer_and_never_shorter(now: float, seconds: float, jumps: list[Jump]) -> None:
    newest_first = sorted(jumps, key=lambda jump: -jump.at)
    began = before(now, seconds, newest_first)
    assert began <= now - seconds
    assert now - began <= seconds + sum(jump.seconds for jump in jumps) + 1e-3
    less = [replace(jump, seconds=jump.seconds / 2) for jump in newest_first]
    assert began <= before(now, seconds, less)
