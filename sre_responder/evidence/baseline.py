"""What was normal before an incident began: at the same time yesterday and a week ago, else in the hour before."""

from __future__ import annotations

import math
import statistics

from sre_responder.model.look import Baseline, NotMeasured, Number, Place

LEAD_S = 600
"""An alert fires minutes after what it reports began, so the last minutes before it are left out."""
FEWEST = 10
_HOUR, _DAY = 3600, 86_400
_SEASONS = {"yesterday": _DAY, "a week ago": 7 * _DAY}


def baseline(look: Number, place: Place, began: float) -> Baseline:
    """The median of the hour up to that time of day, on both days where there is history; `began` is in seconds since the epoch."""
    end = began - LEAD_S
    try:
        found = {name: _numbers(look, place, end - ago) for name, ago in _SEASONS.items()}
        enough = {name: numbers for name, numbers in found.items() if len(numbers) >= FEWEST}
        if not enough and len(numbers := _numbers(look, place, end)) >= FEWEST:
            enough = {"the hour before": numbers}
    except NotMeasured as error:
        return Baseline(None, str(error))
    if not enough:
        return Baseline(None, f"fewer than {FEWEST} values yesterday, a week ago and in the hour before")
    together = [number for numbers in enough.values() for number in numbers]
    return Baseline(statistics.median(together), f"median of {len(together)} values of {' and '.join(enough)}")


def _numbers(look: Number, place: Place, end: float) -> list[float]:
    return [number for number in look.history(place, end - _HOUR, end) if math.isfinite(number)]
