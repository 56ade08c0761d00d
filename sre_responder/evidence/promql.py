"""What a PromQL query looks at: its selectors, their ranges, and how far it reaches back. It reads text, and evaluates nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+|\d+(?:\.\d+)?"
_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`"""
_TOKEN = re.compile(
    rf"""(?P<blank>\s+|\#[^\n]*|@\s*(?:start\s*\(\s*\)|end\s*\(\s*\)|-?[\d.]+))
    |(?P<labels>(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\))
    |(?P<braces>\{{(?:[^{{}}"'`]|{_STRING})*\}})
    |(?P<text>{_STRING})
    |(?P<range>\[\s*(?P<over>{_DURATION})\s*(?P<step>:[^\]]*)?\])
    |(?P<offset>offset\s+(?P<back>-?(?:{_DURATION})))
    |(?P<function>[A-Za-z_]\w*(?=\s*(?:(?:by|without)\s*\([^()]*\)\s*)?\())
    |(?P<metric>(?!(?:and|or|unless|bool|atan2|inf|nan|by|without|on|ignoring|group_left|group_right)\b)[A-Za-z_:][\w:]*)
    |(?P<open>\()|(?P<close>\))
    |(?P<other>[\w.]+|.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
RATES = frozenset(["rate", "irate", "increase", "resets"])
"""Functions for counters, which may begin again at zero."""


class Selector(NamedTuple):
    """One selector: its text, its range in seconds (0 where it has none), and the functions around it, outermost first."""

    text: str
    range_s: float
    within: tuple[str, ...]

    @property
    def counter(self) -> bool:
        """Whether it counts: by its name, as Prometheus names counters, or by the function that is used."""
        name = self.text.partition("{")[0]
        return name.endswith(("_total", "_count", "_sum", "_bucket")) or bool(RATES & set(self.within))


class Query(NamedTuple):
    """The selectors of a query, and how many seconds it looks back."""

    selectors: tuple[Selector, ...]
    reach_s: float


@dataclass
class _Bracket:
    """What is known inside one pair of brackets: the function, the reach of the operand that is read, and the longest."""

    function: str
    operand: float = 0.0
    longest: float = 0.0


def seconds(duration: str) -> float:
    """A duration of PromQL, such as 1h30m or 90."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    return sum(int(number) * _UNITS[unit] for number, unit in parts) if parts else float(duration)


def parsed(query: str) -> Query:
    """What a query looks at. Of what is no PromQL it gives what can be made of it; Prometheus refuses it."""
    selectors: list[Selector] = []
    open_, function, before = [_Bracket("")], "", ""
    for token in _TOKEN.finditer(query):
        kind, inside = str(token.lastgroup), open_[-1]
        if kind in ("blank", "labels"):
            continue
        if kind == "open":
            open_.append(_Bracket(function))
        elif kind == "close" and len(open_) > 1:
            open_.pop()
            open_[-1].operand = inside.longest
        elif kind == "range":
            inside.operand += seconds(token["over"])
            if before in ("metric", "braces") and not token["step"]:
                selectors[-1] = selectors[-1]._replace(range_s=seconds(token["over"]))
        elif kind == "offset":
            inside.operand += seconds(token["back"]) if not token["back"].startswith("-") else 0.0
        elif kind == "braces" and before == "metric":
            selectors[-1] = selectors[-1]._replace(text=selectors[-1].text + token[0])
        else:
            inside.operand = 0.0
            if kind in ("metric", "braces"):
                selectors.append(Selector(token[0], 0.0, tuple(one.function for one in open_ if one.function)))
        open_[-1].longest = max(open_[-1].longest, open_[-1].operand)
        function, before = token[0] if kind == "function" else "", kind
    return Query(tuple(dict.fromkeys(selectors)), max(one.longest for one in open_))
