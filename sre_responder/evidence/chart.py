"""What a look measured during an incident, as one SVG: its numbers, what is good, and when something was done. No script, no reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 200, 70, 20, 30, 30
_COLORS = {True: "#1a7f37", False: "#cf222e", None: "#6e7781"}
_WORDS = {True: "good", False: "bad", None: "not measured"}
_EDGE = 0.05
"""The share of the height that is left free above and below."""


class Point(NamedTuple):
    """One sample: seconds since the epoch, its number if it has one, and whether it was good."""

    at: float
    value: float | None
    ok: bool | None


class Mark(NamedTuple):
    """Something that was done, by the number under which the reader finds it."""

    at: float
    number: int
    words: str


def chart(title: str, windows: Sequence[Sequence[Point]], limits: Mapping[str, float], marks: Sequence[Mark]) -> str:
    """The picture. Between two windows nothing was measured, so no line joins them; what has no number lies on the axis."""
    points = [point for window in windows for point in window]
    times = [point.at for point in points] + [mark.at for mark in marks]
    values = [point.value for point in points if point.value is not None] + list(limits.values())
    if not times or not values:
        return ""
    begin, end, low, high = min(times), max(times), min(values), max(values)
    low, high = low - (high - low) * _EDGE, high + (high - low) * _EDGE

    def x(at: float) -> float:
        return _LEFT + (at - begin) / ((end - begin) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float | None) -> float:
        share = 0.0 if value is None else (value - low) / (high - low) if high > low else 0.5
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(_LEFT, 18, title, "start"), _line((_LEFT, y(None), _WIDTH - _RIGHT, y(None)), "#8c959f")]
    parts += [
        _text(_LEFT - 6, y(value) + 4, f"{value:.4g}", "end") for value in dict.fromkeys((min(values), max(values)))
    ]
    parts += [_text(x(begin), _HEIGHT - 10, _clock(begin), "start"), _text(x(end), _HEIGHT - 10, _clock(end), "end")]
    for word, limit in limits.items():
        parts += [_line((_LEFT, y(limit), _WIDTH - _RIGHT, y(limit)), "#9a6700", dashed=True)]
        parts += [_text(_LEFT + 20, y(limit) - 4, f"good is {word} {limit:g}", "start")]
    for mark in marks:
        parts += [
            _line((x(mark.at), _TOP, x(mark.at), _HEIGHT - _BOTTOM), "#0969da", told=f"{mark.number}: {mark.words}")
        ]
        parts += [_text(x(mark.at) + 3, _TOP + 10, str(mark.number), "start")]
    for window in windows:
        known = " ".join(f"{x(point.at):.1f},{y(point.value):.1f}" for point in window if point.value is not None)
        parts += [f'<polyline points="{known}" fill="none" stroke="#57606a" stroke-width="1"/>']
        parts += [_dot(x(point.at), y(point.value), point) for point in window]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    )
    return "\n".join([f'{head} role="img" font-family="sans-serif" font-size="12">', *parts, "</svg>"])


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#24292f">{_plain(words)}</text>'


def _line(ends: tuple[float, float, float, float], color: str, *, dashed: bool = False, told: str = "") -> str:
    x, y, to_x, to_y = ends
    style = ' stroke-dasharray="6 4"' if dashed else ""
    inside = f"<title>{_plain(told)}</title>" if told else ""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{color}"{style}>{inside}</line>'


def _dot(x: float, y: float, point: Point) -> str:
    words = f"{_clock(point.at)} {'' if point.value is None else f'{point.value:g} '}{_WORDS[point.ok]}"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_COLORS[point.ok]}"><title>{_plain(words)}</title></circle>'


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"


def _plain(words: str) -> str:
    """Text as it may stand in XML: escaped, and without the control characters that XML has no word for."""
    return escape("".join(character if character.isprintable() else " " for character in words))
