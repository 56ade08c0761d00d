"""One sample of a criterion: each of its looks is taken at once, and the worst of those that are judged counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Look, NotMeasured, Number, Part, Place, Role, Sample

Take = Callable[[], Sample]
_MOST_POINTS = 60
ELSEWHERE = "cause elsewhere: the workload is as it should be, and its users are not served"


def probe(criterion: Criterion, place: Place) -> Take | str:
    """What takes a sample of a service, or why nothing can."""
    named = [(role, _resolved(look, place)) for role, look in criterion.roles]
    found = [(role, look, _missing(look, place)) for role, look in named]
    known = [(role, look) for role, look, why in found if why is None]
    judged = any(role == "must" for role, _ in known)
    missing = [why for role, look, why in found if why and role == "must" and (look.required or not judged)]
    if missing:
        return "; ".join(dict.fromkeys(missing))
    return lambda: together([taken(role, look, place) for role, look in known])


def _resolved(look: Look, place: Place) -> Look:
    try:
        return look.resolved(place)
    except NotMeasured:
        return look  # each sample says why


def _missing(look: Look, place: Place) -> str | None:
    try:
        return look.missing(place)
    except NotMeasured:
        return None  # it is named, and named wrongly: each sample says so, and none is left out


def taken(role: Role, look: Look, place: Place) -> Part:
    """One look's sample; one that cannot be taken is not measured."""
    at = time.monotonic()
    try:
        return Part(role, look, replace(look.measure(place), at=at))
    except NotMeasured as error:
        return Part(role, look, Sample(at, None, str(error)))


def together(parts: Sequence[Part]) -> Sample:
    """Several samples as one: bad where any is bad, else not measured where one that must be is not, else good.

    What should be good does not count while it cannot be measured, and a shadow never does.
    """
    judged = [p for p in parts if p.role == "must" or (p.role == "should" and p.sample.ok is not None)]
    samples = [part.sample for part in judged]
    ok = next((word for word in (False, None) if any(one.ok is word for one in samples)), True)
    if len(samples) == 1:
        return replace(samples[0], parts=tuple(parts))
    reason = "; ".join(one.reason for one in samples if one.ok is ok)
    told = f"{ELSEWHERE}: {reason}" if _elsewhere(judged) else reason
    return Sample(min(one.at for one in samples), ok, told, parts=tuple(parts))


def _elsewhere(parts: Iterable[Part]) -> bool:
    """Whether users are not served although everything of the workload is good."""
    users = [part.sample.ok for part in parts if not part.look.workload]
    workload = [part.sample.ok for part in parts if part.look.workload]
    return False in users and bool(workload) and all(workload)


def by_look(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """What each look of several samples said, for the record: how often it was good, bad and not measured, and its last words."""
    rows = []
    for number, (role, look, last) in enumerate(samples[-1].parts if samples else ()):
        oks = [sample.parts[number].sample.ok for sample in samples]
        counts = {"good": oks.count(True), "bad": oks.count(False), "unmeasured": oks.count(None)}
        row = {"role": role, "look": look.title, **counts, "reason": last.reason, "value": last.value}
        limits = look.limits(None) if isinstance(look, Number) else {}
        unit = "" if isinstance(look, Number) else "ms"
        rows.append(
            {
                **row,
                "limits": limits,
                "unit": unit,
                "points": _points([sample.parts[number].sample for sample in samples]),
            }
        )
    return rows


def _points(samples: Sequence[Sample]) -> list[tuple[float, float | None, bool | None]]:
    """Seconds before the last sample, number or else latency, and whether it was good: at most so many, and no bad one is lost among good."""
    size = math.ceil(len(samples) / _MOST_POINTS)
    stretches = (samples[start : start + size] for start in range(0, len(samples), size))
    worst = (max(stretch, key=lambda one: (one.ok is False, one.ok is None)) for stretch in stretches)
    return [(round(one.at - samples[-1].at, 1), _number(one), one.ok) for one in worst]


def _number(sample: Sample) -> float | None:
    value = sample.value
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else sample.latency_ms and round(sample.latency_ms, 1)
