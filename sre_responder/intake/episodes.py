"""When an alert began and ended, whoever reports it, in whichever order the reports arrive."""

from __future__ import annotations

from typing import NamedTuple

from sre_responder.intake.alert import Alert
from sre_responder.ledger.incidents import SKEW_SECONDS


class Span(NamedTuple):
    """From when to when an alert fires, by its sender's clock; no end while it does."""

    starts_at: float
    ends_at: float | None


def follow(known: Span | None, alert: Alert, now: float) -> tuple[Span, bool]:
    """The span of an alert after one more report of it, and whether a new one begins with that report.

    Two Alertmanagers report one alert each, and one of them later than the other: a report that it fires is out of date
    once its end is known, and only a start behind that end is a new alert.
    """
    limit = now + SKEW_SECONDS  # a clock that is ahead must not put an end behind every later start
    start = min(alert.starts_at.timestamp(), limit) if alert.starts_at else None
    if alert.status == "firing":
        if known is None or (known.ends_at is not None and (start is None or start > known.ends_at)):
            return Span(now if start is None else start, None), True
        return known, False
    end = min(alert.ends_at.timestamp(), limit) if alert.ends_at else start
    if known is None or (known.ends_at is not None and start is not None and start > known.ends_at):
        began = start if start is not None else now if end is None else end
        return Span(began, max(began, end if end is not None else began)), True
    if end is None:  # it says no time at all
        return Span(known.starts_at, known.ends_at if known.ends_at is not None else known.starts_at), False
    if end < known.starts_at:
        return known, False  # the end of an earlier one
    return Span(known.starts_at, max(end, known.ends_at or end)), False
