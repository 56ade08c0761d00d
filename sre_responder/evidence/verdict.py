"""Verdicts over samples: healthy or not now, improved or not after an action; without samples, unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from sre_responder.evidence.criterion import Criterion
from sre_responder.evidence.http import Sample

State = Literal["healthy", "unhealthy", "improved", "not_improved", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What the samples say, and why."""

    state: State
    reason: str
    samples: tuple[Sample, ...]

    @property
    def good_since(self) -> float | None:
        """When the unbroken row of good samples at the end began; None where the last one was not good."""
        tail = list(takewhile(lambda one: one.ok is True, reversed(self.samples)))
        return tail[-1].at if tail else None


def healthy_now(
    criterion: Criterion, take: Callable[[], Sample], clock: Callable[[], float], sleep: Callable[[float], None]
) -> Verdict:
    """Healthy only after `minimum_samples` good ones in a row; the first that is not ends it."""
    taken: list[Sample] = []
    for number in range(criterion.minimum_samples):
        if number:
            sleep(criterion.interval_s)
        taken.append(take())
        if taken[-1].ok is not True:
            return Verdict("unknown" if taken[-1].ok is None else "unhealthy", taken[-1].reason, tuple(taken))
    return Verdict("healthy", f"{len(taken)} good samples in a row: {taken[-1].reason}", tuple(taken))


def watch(
    criterion: Criterion,
    take: Callable[[], Sample],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Improved as soon as enough samples in a row are good; what cannot be measured at the end is unknown."""
    taken: list[Sample] = []
    until = clock() + criterion.watch_s
    while True:
        taken.append(take())
        tail = taken[-criterion.minimum_samples :]
        if len(tail) == criterion.minimum_samples and all(one.ok is True for one in tail):
            return Verdict("improved", f"{len(tail)} good samples in a row: {tail[-1].reason}", tuple(taken))
        if interrupted():
            return Verdict("unknown", "watching was interrupted by an emergency stop", tuple(taken))
        if clock() + criterion.interval_s > until:
            break
        sleep(criterion.interval_s)
    if all(one.ok is None for one in tail):
        return Verdict("unknown", f"nothing could be measured at the end: {tail[-1].reason}", tuple(taken))
    bad = next((one for one in reversed(taken) if one.ok is False), None)
    if bad is None:
        return Verdict("unknown", f"too few samples: {tail[-1].reason}", tuple(taken))
    return Verdict("not_improved", f"after {criterion.watch_s:g} s: {bad.reason}", tuple(taken))
