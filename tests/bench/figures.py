"""A figure: what was measured, and whether it meets its goal."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MEETS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One figure; a goal is a comparison and a number, as in `<= 1.2`."""

    figure: str
    value: float
    unit: str = ""
    goal: str | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        comparison, number = self.goal.split()
        return MEETS[comparison](self.value, float(number))

    def of(self, bench: str) -> dict[str, Any]:
        """The figure as `--json` prints it."""
        return {"bench": bench, **asdict(self), "value": rounded(self.value), "ok": self.ok}


def rounded(value: float) -> float:
    """Three digits that count; more would be noise."""
    return value if value == 0 or isinstance(value, int) else float(f"{value:.3g}")


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios pair by pair: what slows the machine down meanwhile slows both of a pair."""
    return statistics.median(mine / other for mine, other in zip(ours, others, strict=True))


def table(figures: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Figures as a Markdown table."""
    rows = [[_cell(figure[column]) for column in columns] for figure in figures]
    lines = [list(columns), ["---:" if column == "value" else "---" for column in columns], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return shown(value) if isinstance(value, int | float) else str(value or "")


def shown(value: float) -> str:
    """A value for people."""
    return f"{value:,.10g}"
