"""Jaeger and Zipkin: their dependencies, by answers of the shape that their API descriptions give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.answering import answering

from sre_responder.evidence.fetch import Login
from sre_responder.home.observed import Call
from sre_responder.model.look import NotMeasured
from sre_responder.radius.sources import jaeger, zipkin

NOW = 1_000_000.0
JAEGER = {
    "data": [
        {"parent": "edge", "child": "shop", "callCount": 7200},
        {"parent": "shop", "child": "pay", "callCount": 3600},
    ],
    "total": 0, "limit": 0, "offset": 0, "errors": None,
}  # fmt: skip
ZIPKIN = [
    {"parent": "edge", "child": "shop", "callCount": 7200, "errorCount": 12},
    {"parent": "shop", "child": "pay", "callCount": 3600},
]
Calls = Callable[[Login, float, float], Iterable[Call]]


def read(calls: Calls, answer: Any, status: str = "200 OK") -> list[Call]:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()) as url:
        return list(calls(Login(url=url), 3600, NOW))


@pytest.mark.parametrize(("calls", "answer"), [(jaeger.calls, JAEGER), (zipkin.calls, ZIPKIN)])
def test_dependencies_become_calls_with_their_rate_over_the_lookback(calls: Calls, answer: Any) -> None:
    assert read(calls, answer) == [Call("edge", "shop", 2.0, NOW), Call("shop", "pay", 1.0, NOW)]


def test_the_calls_of_a_whole_company_are_one_answer() -> None:
    links = [
        {"parent": f"service-{number}", "child": f"service-{number + 1}", "callCount": 1} for number in range(30_000)
    ]
    assert len(json.dumps(links)) > 2 << 20
    assert len(read(zipkin.calls, links)) == 30_000


@pytest.mark.parametrize("calls", [jaeger.calls, zipkin.calls])
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"data": None}, "200 OK"),
        ({"errors": [{"code": 500}]}, "500 Internal Server Error"),
        ("<html>sign in</html>", "401 Unauthorized"),
        ([{"parent": "edge"}], "200 OK"),
        ([{"parent": "edge", "child": "shop", "callCount": "many"}], "200 OK"),
        ([{"parent": "edge", "child": "shop", "callCount": float("nan")}], "200 OK"),
        ([{"parent": "edge", "child": "shop", "callCount": -1}], "200 OK"),
        ("7", "200 OK"),
    ],
)
def test_what_is_no_list_of_dependencies_is_refused_with_what_was_said(calls: Calls, answer: Any, status: str) -> None:
    with pytest.raises(NotMeasured, match=f"answers {status[:3]} without dependencies"):
        read(calls, answer, status)
