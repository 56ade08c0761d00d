"""Maintenance windows: by the clock of their place, also over the change to summer time; what can never begin is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.home.maintenance import Maintenance

BERLIN = "Europe/Berlin"
SUNDAYS = {"starts": "2026-11-01 02:00", "repeats": "FREQ=WEEKLY;BYDAY=SU", "timezone": BERLIN}


def window(**changes: Any) -> Maintenance:
    given = {"name": "sundays", "when": "`true`", "minutes": 120, **SUNDAYS, **changes}
    return Maintenance.model_validate(given)


def at(text: str, zone: str = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-01 01:59:59", None),
        ("2026-11-01 02:00", "2026-11-01 04:00"),
        ("2026-11-29 03:59:59", "2026-11-29 04:00"),
        ("2026-11-29 04:00", None),
        ("2026-11-30 03:00", None),
        ("2027-06-06 02:30", "2027-06-06 04:00"),
    ],
)
def test_it_begins_again_by_the_clock_of_its_place(now: str, end: str | None) -> None:
    assert window().until(at(now)) == (at(end) if end else None)


def test_one_that_never_repeats_is_once() -> None:
    once = window(repeats=None)
    assert once.until(at("2026-11-01 03:00")) == at("2026-11-01 04:00")
    assert once.until(at("2026-11-08 03:00")) is None and once.until(at("2026-10-25 03:00")) is None


def test_on_the_night_of_the_change_it_lasts_as_long_as_ever() -> None:
    """On 28 March 2027 the clock goes from 02:00 to 03:00."""
    nights = window(starts="2027-03-27 23:00", repeats="FREQ=DAILY", minutes=480)
    assert nights.until(at("2027-03-28 04:00")) == at("2027-03-27 23:00") + 480 * 60


@given(st.integers(0, 4 * 365 * 24 * 60))
def test_a_time_is_inside_if_its_sunday_began_less_than_two_hours_ago(minute: int) -> None:
    now = at("2026-11-01 02:00", "UTC") + minute * 60
    moment = datetime.fromtimestamp(now, UTC)
    inside = moment.weekday() == 6 and 2 <= moment.hour < 4
    assert (window(timezone="UTC").until(now) is not None) is inside


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repeats": "FREQ=WEEKLY;BYDAY=MO"}, "by its rule it begins at 2026-11-02 02:00:00: correct one of them"),
        ({"repeats": "on sundays"}, "write such as FREQ=WEEKLY;BYDAY=SU"),
        ({"repeats": ""}, "write such as FREQ=WEEKLY;BYDAY=SU"),
        ({"repeats": "FREQ=WEEKLY;BYDAY=XX"}, "invalid 'BYDAY': XX"),
        ({"repeats": "FREQ=HOURLY"}, "by day, week, month or year, not more often"),
        ({"repeats": "DTSTART:20200101T020000\nRRULE:FREQ=DAILY"}, "one rule alone is meant"),
        ({"timezone": "Europe/Atlantis"}, "there is none called 'Europe/Atlantis'"),
        ({"timezone": "../../etc/passwd"}, "there is none called"),
        ({"starts": "2026-11-01T02:00:00+01:00"}, "write no zone behind the time"),
        ({"minutes": 0}, "greater than or equal to 1"),
        ({"when": "labels.["}, "when"),
    ],
)
def test_what_is_wrong_is_said_with_the_cure(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match="(?s)" + told.replace("..", r"\.\.")):
        window(**changes)
