"""How specific an expression is: the number of conditions that must hold for it to be true."""

from __future__ import annotations

import pytest

from sre_responder.model.expression import conditions, looked_up


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("`true`", 0),
        ("labels.alertname == 'Slow'", 1),
        ("labels.alertname == 'Slow' && labels.service == 'checkout'", 2),
        ("labels.a == 'x' && (labels.b == 'y' || labels.c == 'z' && labels.d == 'w')", 2),
        ("labels.a == 'x' || `true`", 0),
        ("starts_with(labels.alertname, 'Slow') && !(labels.team == 'x')", 2),
        ("labels.alertname", 1),
    ],
)
def test_more_conditions_are_more_specific_and_of_alternatives_the_least_counts(expression: str, count: int) -> None:
    assert conditions(expression) == count


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("a == 'b'", {("a",)}),
        ("a.b.c > `1` && !d", {("a", "b"), ("d",)}),
        ("length(a[?b == `1`].c) > `1`", {("a",)}),
        ("contains(['x'], a) || starts_with(b.c, 'y')", {("a",), ("b", "c")}),
        ("a | b", {("a",)}),
        ("a[0].b", {("a",)}),
        ("a[*].b[] | length(@)", {("a",)}),
        ("max_by(a, &b)", {("a",)}),
        ("`true`", set()),
    ],
)
def test_names_are_those_looked_up_where_it_begins(expression: str, names: set[tuple[str, ...]]) -> None:
    assert looked_up(expression) == names
