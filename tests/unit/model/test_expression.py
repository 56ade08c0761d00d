"""How specific an expression is: the number of conditions that must hold for it to be true."""

from __future__ import annotations

import pytest

from sre_responder.model.expression import conditions


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
