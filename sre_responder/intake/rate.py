"""How many requests each credential may make: a bucket that fills by the minute."""

from __future__ import annotations

from collections.abc import Callable


class Rate:
    """`clock` gives seconds that never go back."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Seconds until one may make its next request; 0 takes one now."""
        now = self._clock()
        left, at = self._left.get(name, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) * 60 / self._per_minute
