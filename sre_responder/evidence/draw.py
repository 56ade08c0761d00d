"""A row of numbers as one line of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

_BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def sparkline(numbers: Sequence[float], limits: Iterable[float] = ()) -> tuple[str, str]:
    """The bars, the newest last, on a scale that shows the limits too; and from where to where the numbers go."""
    scale = [*numbers, *limits]
    low, high = min(scale), max(scale)
    span = (high - low) or 1.0
    return "".join(
        _BARS[min(7, int((number - low) / span * 8))] for number in numbers
    ), f"{min(numbers):g} to {max(numbers):g}"


def thinned(numbers: Sequence[float], width: int = WIDTH) -> list[float]:
    """At most so many of them: of each stretch the one that is furthest from the middle, so that no peak is lost."""
    if len(numbers) <= width:
        return list(numbers)
    middle = sorted(numbers)[len(numbers) // 2]
    edges = [round(n * len(numbers) / width) for n in range(width + 1)]
    stretches = (numbers[start:end] for start, end in pairwise(edges))
    return [max(stretch, key=lambda number: abs(number - middle)) for stretch in stretches]
