"""Verdicts over samples: healthy or not now, improved or not after an action. What was not measured is never good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Sample
from sre_responder.model.worse import Worse

State = Literal["healthy", "unhealthy", "improved", "not_improved", "unknown"]
Take = Callable[[], Sample]
Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Counts(NamedTuple):
    """How many samples were what."""

    good: int
    bad: int
    unmeasured: int

    def __str__(self) -> str:
        return f"{self.good} good, {self.bad} bad, {self.unmeasured} not measured"


@dataclass(frozen=True)
class Verdict:
    """What the samples say, and why; `since` is when the window began that stayed good, by the clock of the samples."""

    state: State
    reason: str
    samples: tuple[Sample, ...]
    since: float | None = None

    @property
    def counts(self) -> Counts:
        """Of the whole watch, not of its window alone."""
        return _counts(self.samples)


def healthy_now(criterion: Criterion, take: Take, clock: Clock, sleep: Sleep) -> Verdict:
    """Healthy if a whole window from now on is good enough; the look ends as soon as it cannot be."""
    window: list[Sample] = []
    for one in _paced(criterion, take, clock, sleep):
        window.append(one)
        counts = _counts(window)
        if len(window) == criterion.samples or counts.bad + counts.unmeasured > criterion.spare:
            break
    return _judged(criterion, (), window, ("healthy", "unhealthy"))


def watch(
    criterion: Criterion, take: Take, clock: Clock, sleep: Sleep, interrupted: Callable[[], bool] = lambda: False,
    worse: Worse | None = None,
) -> Verdict:  # fmt: skip
    """Improved if the window at the end is good enough. It begins `watch_s` after the action; what came before does not count.

    No row of good samples ends a watch: only its end does, a window that cannot be good any more, or an error rate that is `worse`
    for as long in a row as that says.
    """
    since: float | None = None
    before: list[Sample] = []
    window: list[Sample] = []
    until = clock() + criterion.watch_s
    for one in _paced(criterion, take, clock, sleep):
        (before if one.at < until else window).append(one)
        told = worse.found(one) if worse else ""
        since = (one.at if since is None else since) if told else None
        if worse and since is not None and one.at - since >= worse.minutes * 60:
            return Verdict("not_improved", f"worse for {worse.minutes:g} min in a row: {told}", (*before, *window))
        if _settled(criterion, window):
            break
        if interrupted():
            return Verdict("unknown", "watching was interrupted by an emergency stop", (*before, *window))
    return _judged(criterion, before, window, ("improved", "not_improved"))


def _paced(criterion: Criterion, take: Take, clock: Clock, sleep: Sleep) -> Iterator[Sample]:
    """A sample at each interval; one that takes longer is followed by the next at once."""
    while True:
        began = clock()
        yield take()
        sleep(max(0.0, began + criterion.interval_s - clock()))


def _settled(criterion: Criterion, window: list[Sample]) -> bool:
    """Whether a window is full or failed. One that merely lacks measurements goes on for a while: bad is more than unknown."""
    counts = _counts(window)
    lacking = len(window) >= criterion.minimum_samples and counts.bad + counts.unmeasured > criterion.spare
    return len(window) == criterion.samples or counts.bad > criterion.spare or lacking


def _judged(
    criterion: Criterion, before: Iterable[Sample], window: list[Sample], words: tuple[State, State]
) -> Verdict:
    good, bad = words
    counts, samples = _counts(window), (*before, *window)
    if counts.bad > criterion.spare:
        return Verdict(bad, _reason(window, False, samples), samples)
    if counts.bad + counts.unmeasured > criterion.spare:
        return Verdict("unknown", _reason(window, None, samples), samples)
    return Verdict(good, _reason(window, True, samples), samples, window[0].at)


def _reason(window: list[Sample], ok: bool | None, samples: tuple[Sample, ...]) -> str:
    """How many of the window decided, what the last of them said, and the whole watch where it was not all of one kind."""
    deciding = [one for one in window if one.ok is ok]
    word = {True: "good", False: "bad", None: "not measured"}[ok]
    many = "the last sample" if len(window) == 1 else f"the last {len(window)} samples"
    if all(one.ok is ok for one in samples):
        share, whole = "the only sample" if len(samples) == 1 else f"all {len(samples)} samples", ""
    else:
        share = many if len(deciding) == len(window) else f"{len(deciding)} of {many}"
        whole = f" (whole watch: {_counts(samples)})" if len(samples) > len(window) else ""
    return f"{share} {word}{whole}: {deciding[-1].reason}"


def _counts(samples: Iterable[Sample]) -> Counts:
    found = [one.ok for one in samples]
    return Counts(found.count(True), found.count(False), found.count(None))
