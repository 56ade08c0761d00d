"""What a PromQL query looks at: selectors, ranges, and how far back it reaches, in the spellings that people use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.promql import parsed, seconds


@pytest.mark.parametrize(
    ("query", "selectors", "reach_s"),
    [
        ("up", [("up", 0)], 0),
        ("1 + 1", [], 0),
        ('up{job="a"}', [('up{job="a"}', 0)], 0),
        ('{__name__="up", job=~"a|b"}', [('{__name__="up", job=~"a|b"}', 0)], 0),
        ("rate(x_total[5m])", [("x_total", 300)], 300),
        ("sum by (code) (rate(x_total[1m]))", [("x_total", 60)], 60),
        ("sum(rate(x_total[1m])) without (pod)", [("x_total", 60)], 60),
        ("rate(a[1m]) / rate(b[5m])", [("a", 60), ("b", 300)], 300),
        ("rate(a[1m]) / on (job) group_left (x) rate(b[2m])", [("a", 60), ("b", 120)], 120),
        ("x offset 1h", [("x", 0)], 3600),
        ("rate(x[5m] offset 1h30m)", [("x", 300)], 5700),
        ("rate(x[5m] @ end() offset 1m)", [("x", 300)], 360),
        ("x offset -1h", [("x", 0)], 0),
        ("max_over_time(rate(x[1m])[30m:10s])", [("x", 60)], 1860),
        ("max_over_time((a - b offset 5m)[30m:])", [("a", 0), ("b", 0)], 2100),
        ("x > bool 3 and y unless z", [("x", 0), ("y", 0), ("z", 0)], 0),
        ("histogram_quantile(0.99, sum by (le) (rate(l_bucket[5m])))", [("l_bucket", 300)], 300),
        ('x{path="/a[5m]", q="sum(y)"}', [('x{path="/a[5m]", q="sum(y)"}', 0)], 0),
        ('x{a="\\"}[9m]"}', [('x{a="\\"}[9m]"}', 0)], 0),
        ('label_replace(up, "a", "$1", "b", "(.*)[5m]")', [("up", 0)], 0),
        ("job:errors:ratio_rate5m", [("job:errors:ratio_rate5m", 0)], 0),
        ("x # rate(y[5m])\n+ z", [("x", 0), ("z", 0)], 0),
        ("vector(time()) + Inf", [], 0),
        ("RATE(x[90])", [("x", 90)], 90),
        ("x[5m", [("x", 0)], 0),
        (") up )", [("up", 0)], 0),
    ],
)
def test_a_query_names_what_it_looks_at(query: str, selectors: list[tuple[str, float]], reach_s: float) -> None:
    found = parsed(query)
    assert [(one.text, one.range_s) for one in found.selectors] == selectors
    assert found.reach_s == reach_s


@pytest.mark.parametrize(
    ("query", "counter"),
    [
        ("http_requests_total", True),
        ('latency_bucket{le="1"}', True),
        ("irate(odd_name[1m])", True),
        ("sum(increase(odd_name[1m]))", True),
        ("avg_over_time(temperature[1m])", False),
        ("memory_bytes", False),
    ],
)
def test_a_counter_is_known_by_its_name_or_its_function(query: str, counter: bool) -> None:
    assert [one.counter for one in parsed(query).selectors] == [counter]


@pytest.mark.parametrize(
    ("duration", "number"), [("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("90", 90), ("1d", 86_400)]
)
def test_a_duration_is_read_as_prometheus_does(duration: str, number: float) -> None:
    assert seconds(duration) == number


@given(st.text(alphabet="ab_(){}[]5m:,\"'`#@ \n+offset"))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert parsed(text).reach_s >= 0
