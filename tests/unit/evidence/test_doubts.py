"""What lint says of a criterion that would not say what its author means."""

from __future__ import annotations

from typing import Any

import pytest

from sre_responder.model.criterion import Criterion

CALM = {"watch_s": 90, "hold_s": 60, "interval_s": 5}
RATIO = "sum(rate(errors_total[1m])) / sum(rate(requests_total[1m]))"


def doubts(**written: Any) -> list[tuple[str, str]]:
    criterion = Criterion.model_validate({**CALM, "source": "prometheus", **written})
    return [(doubt.rule, doubt.level) for look in criterion.looks for doubt in look.doubts(criterion, criterion.must)]


@pytest.mark.parametrize(
    "written",
    [
        {"query": RATIO, "below": 0.05},
        {"query": "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[1m])))", "below": 0.5},
        {"query": "sum(rate(requests_total[1m]))", "above": 10},
        {"query": '(sum(rate(x{code="500"}[1m])) or 0 * sum(rate(x[1m]))) / sum(rate(x[1m]))', "below": 0.1},
        {"query": 'sum(rate(x{code!~"5.."}[1m])) / sum(rate(x[1m]))', "above": 0.9},
        {"query": 'min(up{job="a or vector(0) > 1"})', "above": 0},
        {"query": "min(ready) > bool 3", "above": 0},
        {"query": "resets(x_total[1m])", "below": 1, "above": -1},
    ],
)
def test_a_sound_query_has_no_doubts(written: dict[str, Any]) -> None:
    assert doubts(**written) == []


@pytest.mark.parametrize(
    ("written", "rule", "level"),
    [
        ({"query": "sum(increase(errors_total[10m])) / 1", "below": 1}, "reach", "error"),
        ({"query": "errors offset 1h", "below": 1}, "reach", "error"),
        ({"query": "errors", "below": 1, "range_s": 600}, "reach", "error"),
        ({"query": RATIO, "below": 0.05, "hold_s": 10}, "samples", "warning"),
        ({"query": "sum(rate(requests_total[15s]))", "above": 1}, "promql-samples", "warning"),
        ({"query": 'sum(rate(x{code=~"5.."}[1m])) / sum(rate(x[1m]))', "below": 0.1}, "promql-first", "warning"),
        ({"query": "errors_total", "below": 100}, "promql-counter", "warning"),
        ({"query": f"({RATIO}) or vector(0)", "below": 0.05}, "promql-absent", "warning"),
        ({"query": "absent(errors)", "above": 0}, "promql-absent", "warning"),
        ({"query": "count(up == 0)", "below": 1}, "promql-filter", "warning"),
        ({"query": "max(latency) > 0.5", "below": 1}, "promql-filter", "warning"),
        ({"query": "sum(rate(errors_total[1m]))", "below": 1}, "promql-traffic", "warning"),
    ],
)
def test_a_query_that_would_mislead_is_named(written: dict[str, Any], rule: str, level: str) -> None:
    assert doubts(**written) == [(rule, level)]


def test_the_cure_of_a_window_that_reaches_over_the_action_is_the_length_of_the_query() -> None:
    criterion = Criterion.model_validate({**CALM, "source": "prometheus", "query": "sum(rate(x[10m]))", "above": 1})
    [doubt] = criterion.must[0].doubts(criterion, criterion.must)
    assert "looks back 600 s, and the window begins 90 s after an action" in doubt.words
    assert doubt.cure == "Set watch_s to 600 or more, or shorten the range of the query."


def test_a_look_that_asks_for_traffic_makes_up_for_a_rate_of_errors() -> None:
    errors = {"source": "prometheus", "query": "sum(rate(errors_total[1m]))", "below": 1}
    traffic = {"source": "prometheus", "query": "sum(rate(requests_total[1m]))", "above": 1}
    criterion = Criterion.model_validate({**CALM, "must": [errors, traffic]})
    assert [doubt for look in criterion.looks for doubt in look.doubts(criterion, criterion.must)] == []


def test_looks_that_are_not_judged_are_looked_at_too() -> None:
    shadow = {"source": "prometheus", "query": "errors_total", "below": 1}
    criterion = Criterion.model_validate({**CALM, "url": "http://127.0.0.1:1/", "shadow": [shadow]})
    assert [doubt.rule for look in criterion.looks for doubt in look.doubts(criterion, criterion.must)] == [
        "criterion",
        "promql-counter",
    ]
