"""Maintenance windows: times that were said before, in which alerts start nothing (RFC 5545, sections 3.3.10 and 3.8.5.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from sre_responder.home.alert_rule import AlertRule

if TYPE_CHECKING:
    from dateutil.rrule import rrule

_TOO_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")


class Maintenance(AlertRule):
    """A time in which alerts start nothing, once or again and again, and the alerts that it is about."""

    starts: datetime = Field(description="When it begins first, by the clock of its timezone: 2026-12-06 02:00.")
    minutes: int = Field(ge=1, le=20160, description="How long it lasts.")
    repeats: str | None = Field(
        None, description="When it begins again, as RFC 5545: FREQ=WEEKLY;BYDAY=SU. Null: never."
    )
    timezone: str = Field(
        "UTC", description="Such as Europe/Berlin: by its clock, also when summer time begins or ends."
    )

    @property
    def reason(self) -> str:
        """Why an alert was ignored; by it those are found that still fire afterwards."""
        return f"maintenance {self.name}"

    @model_validator(mode="after")
    def _begins_as_it_says(self) -> Maintenance:
        if self.starts.tzinfo is not None:
            raise ValueError("starts: write no zone behind the time, and name it in timezone")
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError):
            raise ValueError(
                f"timezone: there is none called {self.timezone!r}; write one such as Europe/Berlin"
            ) from None
        try:
            rule = self._rule
            first = next(iter(rule), None) if rule else self.starts
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"repeats: {error}; write such as FREQ=WEEKLY;BYDAY=SU") from None
        if first != self.starts:
            raise ValueError(
                f"starts is {self.starts:%Y-%m-%d %H:%M}, and by its rule it begins at {first}: correct one of them"
            )
        return self

    @cached_property
    def _rule(self) -> rrule | None:
        if self.repeats is None:
            return None
        from dateutil.rrule import rrule, rrulestr  # most commands need no calendar

        rule = rrulestr(self.repeats, dtstart=self.starts, ignoretz=True)
        if not isinstance(rule, rrule) or "DTSTART" in self.repeats.upper():
            raise ValueError("one rule alone is meant, and starts says when it begins")
        if any(word in self.repeats.upper() for word in _TOO_OFTEN):
            raise ValueError("it repeats by day, week, month or year, not more often")
        return rule

    def until(self, now: float) -> float | None:
        """When it ends, if it is now; in seconds since the epoch."""
        zone = ZoneInfo(self.timezone)
        here = datetime.fromtimestamp(now, UTC).astimezone(zone)
        begun = self._rule.before(here.replace(tzinfo=None), inc=True) if self._rule else self.starts
        if begun is None:
            return None
        start = begun.replace(tzinfo=zone).timestamp()
        end = start + timedelta(minutes=self.minutes).total_seconds()
        return end if start <= now < end else None
