"""The report of an incident: one page that needs nothing else, with a chart of each look and every action once."""

from __future__ import annotations

from typing import Any

from sre_responder.ledger.audit import Entry
from sre_responder.record.report import page

INCIDENT = {
    "id": "INC-1234", "severity": "SEV2", "status": "open", "service": "shop", "environment": "dev", "title": "<b>slow</b>",
}  # fmt: skip


def entry(id: int, type: str, summary: str, **data: Any) -> Entry:
    return Entry(id, f"2026-11-28T10:00:{id:02}+00:00", "INC-1234", type, "dana", summary, data, "", "")


def looks(title: str, *points: tuple[float, float | None, bool | None]) -> dict[str, Any]:
    row = {
        "role": "must",
        "look": title,
        "limits": {"below": 0.05},
        "unit": "ms",
        "points": [list(point) for point in points],
    }
    return {"looks": [row]}


ENTRIES = [
    entry(1, "incident.opened", "opened <script>alert(1)</script>"),
    entry(2, "action.started", "restart on a", attempt=7, host="a"),
    entry(3, "action.started", "restart on b", attempt=7, host="b"),
    entry(20, "action.ended", "restart on shop: improved", attempt=7, sampled=looks("errors", (-5, 0.3, False), (0, 0.01, True))),
    entry(30, "action.started", "rollback on a", attempt=8),
    entry(40, "action.skipped", "healthy", sampled=looks("errors", (0, 0.02, True))),
]  # fmt: skip


def test_it_has_a_chart_of_each_look_with_every_action_once() -> None:
    text = page(INCIDENT, ENTRIES, ["next: responder timeline INC-1234"])
    assert text.count("<svg ") == 1 and text.count("<circle ") == 3
    assert text.count("<li>restart on shop: improved</li>") == 1
    assert "<li>rollback on a: not finished</li>" in text
    assert ">must: errors, ms</text>" in text
    assert "<title>10:00:15 UTC 0.3 bad</title>" in text and "good is below 0.05" in text


def test_what_others_wrote_is_text() -> None:
    text = page(INCIDENT, ENTRIES, ["<i>"])
    assert "<script" not in text and "<b>slow" not in text and "<i>" not in text
    assert "&lt;b&gt;slow&lt;/b&gt;" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


def test_without_measurements_and_actions_it_says_so() -> None:
    text = page(INCIDENT, [entry(1, "incident.opened", "opened", sampled={"propagated": {}})], [])
    assert "<p>None.</p>" in text and "None that has a number." in text and "<svg" not in text
