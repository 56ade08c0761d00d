"""The report of one incident as a page of its own: what happened, what was tried, and what each look measured meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sre_responder.evidence.chart import Mark, Point, chart
from sre_responder.ledger.audit import Entry

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ title }}</title></head>
<body style="font-family: sans-serif; max-width: 60em; margin: 2em auto">
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
<h2>Actions</h2>
{% if marks %}<ol>{% for mark in marks %}<li>{{ mark.words }}</li>{% endfor %}</ol>{% else %}<p>None.</p>{% endif %}
<h2>Measurements</h2>
{% for one in charts %}<figure>{{ one }}</figure>{% else %}<p>None that has a number.</p>{% endfor %}
<h2>For whoever continues</h2>
<ul>{% for line in handover %}<li>{{ line }}</li>{% endfor %}</ul>
<h2>Timeline</h2>
<table>{% for entry in entries %}<tr><td>{{ entry.at[:19] }}</td><td>{{ entry.type }}</td><td>{{ entry.summary }}</td></tr>
{% endfor %}</table>
</body>
</html>
"""


def page(incident: Mapping[str, Any], entries: Sequence[Entry], handover: Sequence[str]) -> str:
    """The page, all text escaped; it refers to nothing outside itself."""
    marks = _marks(entries)
    words = "{severity} {status}, {service} in {environment}: {title}".format(**incident)
    return Environment(autoescape=True).from_string(_PAGE).render(
        title=f"Incident {incident['id']}", summary=words, marks=marks, handover=handover, entries=entries,
        charts=[Markup(svg) for svg in charts(entries, marks)],  # the chart has escaped what stands in it
    )  # fmt: skip


def charts(entries: Sequence[Entry], marks: Sequence[Mark]) -> Iterator[str]:
    """One picture for each look that measured a number."""
    windows: dict[tuple[str, str], list[list[Point]]] = {}
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in entries:
        for row in (entry.data.get("sampled") or {}).get("looks", ()):
            look = row["role"], row["look"]
            window = [Point(entry.seconds + ago, value, ok) for ago, value, ok in row.get("points", ())]
            windows.setdefault(look, []).append(window)
            last[look] = row
    for (role, title), found in windows.items():
        row = last[role, title]
        words = f"{role}: {title}{', ' if row.get('unit') else ''}{row.get('unit', '')}"
        if drawn := chart(words, found, row.get("limits", {}), marks):
            yield drawn


def _marks(entries: Sequence[Entry]) -> list[Mark]:
    """What was begun, once whatever the number of hosts, in order, each with what came of it."""
    begun = {entry.data["attempt"]: entry for entry in reversed(entries) if entry.type == "action.started"}
    ended = {entry.data["attempt"]: entry.summary for entry in entries if entry.type == "action.ended"}
    return [
        Mark(entry.seconds, number, ended.get(attempt, f"{entry.summary}: not finished"))
        for number, (attempt, entry) in enumerate(reversed(begun.items()), 1)
    ]
