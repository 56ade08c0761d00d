"""Named cases: what a source answers over a watch in virtual time, and the verdict that follows. No case may say healthy by luck."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sre_responder.evidence import looks, series, workload
from sre_responder.evidence.fetch import Answer
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources import http
from sre_responder.evidence.verdict import Verdict, healthy_now, watch
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Baseline, NotMeasured, Number, Place

WATCH_S, HOLD_S, INTERVAL_S = 60, 30, 5
WINDOW = {"watch_s": WATCH_S, "hold_s": HOLD_S, "interval_s": INTERVAL_S, "minimum_samples": 7}
"""Twelve samples that do not count, at 0 to 55 s after the action, and seven that do, at 60 to 90 s."""
QUERY = "sum(rate(errors_total[1m])) / sum(rate(requests_total[1m]))"
ERRORS = {"source": "prometheus", "query": QUERY, "below": 0.05}
NONE: Mapping[str, Any] = {}


def number(value: float | str) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {}, "value": [0, str(value)]}]}


@dataclass(frozen=True)
class Now:
    """What the world answers at one moment."""

    value: Any = 0.001
    checks: Mapping[str, float] = field(default_factory=lambda: {"age": 5, "points": 4})
    more: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    probe: int = 200
    facts: Mapping[str, Any] = field(default_factory=dict)
    absent: tuple[int, ...] = ()
    """The selectors that find nothing now."""

    def answer(self, query: str) -> bytes:
        if self.body is not None:
            return self.body
        if query.startswith("label_replace("):
            rows = [(f"{name}{n}", value) for name, value in self.checks.items() for n in {*range(4)} - {*self.absent}]
            result = [{"metric": {"check": name}, "value": [0, str(value)]} for name, value in rows]
            return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        data = self.value if isinstance(self.value, dict) else number(self.value)
        return json.dumps({"status": "success", "data": data, **self.more}).encode()


GOOD, BAD = Now(), Now(0.5)
NO_DATA = Now({"resultType": "vector", "result": []})
DOWN, STALE, RESET = (
    Now(checks={"age": 5, "points": 4, "down": 1}),
    Now(checks={"age": 400, "points": 4}),
    Now(checks={"age": 5, "points": 4, "resets": 2}),
)
FEW = Now(checks={"age": 5, "points": 1})
SEVERAL = Now({"resultType": "vector", "result": [{"metric": {"pod": pod}, "value": [0, "0"]} for pod in "ab"]})
SILENT = Now(body=b"silent")
Timeline = Callable[[float], Now]


def always(one: Now) -> Timeline:
    return lambda t: one


def then(before: Now, at: float, after: Now) -> Timeline:
    return lambda t: before if t < at else after


def between(usual: Now, start: float, end: float, other: Now) -> Timeline:
    return lambda t: other if start <= t < end else usual


def look(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**ERRORS, **changes}.items() if value is not None}


def values(*numbers: float | str) -> Now:
    """A row of values, as a range gives it."""
    points = [[0, str(one)] for one in numbers]
    return Now({"resultType": "matrix", "result": [{"metric": {}, "values": points}]})


HTTP = {"source": "http", "url": "http://shop.test/health"}
WORKLOAD = {"source": "kubernetes"}
FACTS = {
    "workload": "deployment/shop",
    "desired": 2,
    "available": 2,
    "rolled_out": True,
    "failing": 0,
    "restarts": 0,
    "reasons": [],
}
SERVED = Now(facts=FACTS)
ZERO = Now(facts={**FACTS, "desired": 0, "available": 0})
BROKEN = Now(facts={**FACTS, "available": 0, "failing": 2, "reasons": ["CrashLoopBackOff"]})
FRONT = Now(facts=FACTS, probe=503)
GONE = Now()
RATIO, BASE = {"below": {"times": 1.5}}, Baseline(0.01, "median of 122 values of yesterday")

Case = tuple[Mapping[str, Any], Timeline, str, str]
CASES: dict[str, Case] = {
    # how it goes over time
    "healthy throughout": (ERRORS, always(GOOD), "improved", "the last 7 samples good"),
    "sick throughout": (ERRORS, always(BAD), "not_improved", "is not below 0.05"),
    "recovers at once": (ERRORS, then(BAD, 5, GOOD), "improved", ""),
    "recovers just before the window": (ERRORS, then(BAD, 59, GOOD), "improved", ""),
    "recovers as the window begins": (ERRORS, then(BAD, 60, GOOD), "improved", ""),
    "recovers inside the window": (ERRORS, then(BAD, 61, GOOD), "not_improved", ""),
    "relapses and recovers before the window": (ERRORS, between(GOOD, 20, 50, BAD), "improved", ""),
    "relapses in the window": (ERRORS, then(GOOD, 70, BAD), "not_improved", ""),
    "relapses at the last sample": (ERRORS, then(GOOD, 90, BAD), "not_improved", "1 of the last 7"),
    "relapses behind the last sample": (ERRORS, then(GOOD, 91, BAD), "improved", ""),
    "is bad once in the window": (ERRORS, between(GOOD, 75, 80, BAD), "not_improved", ""),
    "flaps": (ERRORS, lambda t: BAD if t % 20 < 10 else GOOD, "not_improved", ""),
    "a lucky row before the window": (ERRORS, between(BAD, 5, 55, GOOD), "not_improved", ""),
    # nothing to measure
    "no data throughout": (ERRORS, always(NO_DATA), "unknown", "no data: no series matches"),
    "no data until the window": (ERRORS, then(NO_DATA, 60, GOOD), "improved", ""),
    "no data in the window": (ERRORS, then(GOOD, 60, NO_DATA), "unknown", "no data"),
    "no data at the last sample": (ERRORS, then(GOOD, 90, NO_DATA), "unknown", "no data"),
    "no data, and then bad": (ERRORS, lambda t: GOOD if t < 60 else NO_DATA if t < 70 else BAD, "not_improved", ""),
    "the metric is absent": (ERRORS, always(Now(checks={})), "unknown", "errors_total has no current sample"),
    "the metric is absent from the window on": (ERRORS, then(GOOD, 60, Now(checks={})), "unknown", "its target is gone"),
    "no error was ever counted": (ERRORS, always(Now(0, absent=(0,))), "improved", "0 is below 0.05"),
    "no error was ever counted, and the query gives nothing": (ERRORS, always(Now(NO_DATA.value, absent=(0,))), "unknown", "no data"),
    "nothing at all is counted any more": (ERRORS, then(GOOD, 60, Now(0, absent=(0, 1))), "unknown", "its target is gone"),
    "not a number": (ERRORS, always(Now("NaN")), "unknown", "the value is nan"),
    "not a number without traffic in the window": (ERRORS, then(GOOD, 80, Now("NaN")), "unknown", "no traffic"),
    "infinite": (ERRORS, always(Now("+Inf")), "unknown", "the value is inf"),
    "infinite below": (ERRORS, always(Now("-Inf")), "unknown", "the value is -inf"),
    # samples that may lie
    "stale throughout": (ERRORS, always(STALE), "unknown", "stale: the newest sample of errors_total is 400 s old"),
    "stale from the window on": (ERRORS, then(GOOD, 65, STALE), "unknown", "stale"),
    "stale, but declared fresh enough": (look(max_age_s=600), always(STALE), "improved", ""),
    "a target is down": (ERRORS, always(DOWN), "unknown", "1 scrape target of errors_total down"),
    "several targets are down": (ERRORS, always(Now(checks={"age": 5, "points": 4, "down": 3})), "unknown", "3 scrape targets of"),
    "a target is down while it restarts": (ERRORS, then(DOWN, 40, GOOD), "improved", ""),
    "a target goes down in the window": (ERRORS, then(GOOD, 85, DOWN), "unknown", "down"),
    "too few samples throughout": (ERRORS, always(FEW), "unknown", "too few samples: 1 of errors_total in 60 s"),
    "too few samples at first": (ERRORS, then(FEW, 30, GOOD), "improved", ""),
    "too few samples in the window": (ERRORS, then(GOOD, 60, FEW), "unknown", "too few samples"),
    "a counter began again throughout": (ERRORS, always(RESET), "unknown", "errors_total began again 2 times"),
    "a counter began again before the window": (ERRORS, between(GOOD, 10, 50, RESET), "improved", ""),
    "a counter began again in the window": (ERRORS, then(GOOD, 75, RESET), "unknown", "its count is not whole"),
    "several series": (ERRORS, always(SEVERAL), "unknown", "2 series where one was meant ({pod=a}, {pod=b}): aggregate"),
    "a second series in the window": (ERRORS, then(GOOD, 80, SEVERAL), "unknown", "2 series"),
    # what answers
    "the query is refused": (ERRORS, always(Now(body=b'{"status": "error", "error": "parse error"}')), "unknown", "refused: parse error"),
    "the answer is partial": (ERRORS, always(Now(more={"warnings": ["store 10.0.0.7 is gone"]})), "unknown", "partial: store 10.0.0.7"),
    "the answer says that it is partial": (ERRORS, always(Now(more={"isPartial": True})), "unknown", "a store did not answer"),
    "a hint is no warning": (ERRORS, always(Now(more={"warnings": ["PromQL info: metric might not be a counter"]})), "improved", ""),
    "the login is not accepted": (ERRORS, always(Now(status=401)), "unknown", "answers 401: its connection has no login"),
    "rights are missing": (ERRORS, always(Now(status=403)), "unknown", "not enough rights"),
    "a page of a proxy": (ERRORS, always(Now(status=502, body=b"<html>")), "unknown", "answers 502 without a JSON object: <html>"),
    "an empty body": (ERRORS, always(Now(body=b"")), "unknown", "without a JSON object"),
    "a list": (ERRORS, always(Now(body=b"[1]")), "unknown", "without a JSON object"),
    "another API": (ERRORS, always(Now(body=b'{"status": "success"}')), "unknown", "not one of Prometheus' API"),
    "a scalar": (ERRORS, always(Now({"resultType": "scalar", "result": [0, "0"]})), "improved", ""),
    "a text": (ERRORS, always(Now({"resultType": "string", "result": [0, "0"]})), "unknown", "a string is no number"),
    "no answer throughout": (ERRORS, always(SILENT), "unknown", "did not answer"),
    "no answer in the window": (ERRORS, then(GOOD, 70, SILENT), "unknown", "did not answer"),
    "no answer until the window": (ERRORS, then(SILENT, 60, GOOD), "improved", ""),
    # limits
    "exactly at the upper limit": (ERRORS, always(Now(0.05)), "not_improved", "0.05 is not below 0.05"),
    "exactly at the lower limit": (look(below=None, above=0.98), always(Now(0.98)), "not_improved", "is not above 0.98"),
    "between two limits": (look(above=0), always(GOOD), "improved", "is above 0 and below 0.05"),
    "below both": (look(above=0), always(Now(-1)), "not_improved", "is not above 0"),
    "an expression": (look(below=None, expect="value < `0.05`"), always(GOOD), "improved", "value < 0.05 is true"),
    "an expression that is false": (look(below=None, expect="value < `0.05`"), always(BAD), "not_improved", "is false"),
    "an expression that is no truth": (look(below=None, expect="value"), always(GOOD), "unknown", "neither true nor false"),
    "an expression that breaks": (look(below=None, expect="length(value) > `1`"), always(GOOD), "unknown", "cannot judge"),
    # a window that reaches over the action
    "looks back five minutes": (look(query="sum(rate(errors_total[5m]))"), always(GOOD), "unknown", "the query looks back 300 s, over the action"),
    "looks back as long as the watch": (look(query="sum(rate(errors_total[60s]))"), always(GOOD), "improved", ""),
    "looks back a little longer": (look(query="sum(rate(errors_total[62s]))"), always(GOOD), "unknown", "over the action"),
    "looks back a little longer, and one may miss": (
        {**look(query="sum(rate(errors_total[62s]))"), "good_share": 0.8}, always(GOOD), "improved", ""),
    "an offset counts": (look(query="errors offset 2m"), always(GOOD), "unknown", "looks back 120 s"),
    "a subquery counts": (look(query="max_over_time(errors[2m:5s])"), always(GOOD), "unknown", "looks back 120 s"),
    "a range counts": (look(query="errors", range_s=90), always(values(0, 0, 0, 0, 0, 0)), "unknown", "looks back 90 s"),
    # the worst of a range
    "all of a range is good": (look(query="errors", range_s=45), always(values(0, 0.01, 0)), "improved", ""),
    "one value of a range is bad": (look(query="errors", range_s=45), always(values(0, 0.9, 0)), "not_improved", "0.9 is not below"),
    "a range with a gap": (look(query="errors", range_s=45), always(values(0, 0)), "unknown", "too few values: 2 of 3 in 45 s"),
    "a range with one that is no number": (look(query="errors", range_s=45), always(values(0, "NaN", 0)), "unknown", "nan"),
    # relative to the baseline, which is 0.01
    "within the baseline": (look(**RATIO), always(Now(0.014)), "improved", "is below 0.015 (baseline 0.01)"),
    "above the baseline": (look(**RATIO), always(Now(0.016)), "not_improved", "0.016 is not below 0.015"),
    "ten points above the baseline": (look(below={"plus": 0.1}), always(Now(0.10)), "improved", "below 0.11"),
    "more than ten points above it": (look(below={"plus": 0.1}), always(Now(0.12)), "not_improved", ""),
    "times and plus": (look(below={"times": 2, "plus": 0.01}), always(Now(0.029)), "improved", "below 0.03"),
    "an expression over the baseline": (look(below=None, expect="value < baseline"), always(GOOD), "improved", ""),
    "a baseline that is not known": (look(query="sum(other)", **RATIO), always(GOOD), "unknown", "its baseline is not known"),
    # several looks
    "both are good": ({"must": [ERRORS, HTTP]}, always(GOOD), "improved", ""),
    "one of two is bad": ({"must": [ERRORS, HTTP]}, always(Now(probe=500)), "not_improved", "status 500"),
    "one of two is not measured": ({"must": [ERRORS, HTTP]}, always(NO_DATA), "unknown", "no data"),
    "bad beats not measured": ({"must": [ERRORS, HTTP]}, always(Now(NO_DATA.value, probe=500)), "not_improved", "status 500"),
    "what should be good is bad": ({**HTTP, "should": [ERRORS]}, always(BAD), "not_improved", "is not below"),
    "what should be good is not measured": ({**HTTP, "should": [ERRORS]}, always(NO_DATA), "improved", "status 200"),
    "what should be good is not measured, and what must be is bad": (
        {**HTTP, "should": [ERRORS]}, always(Now(NO_DATA.value, probe=503)), "not_improved", "status 503"),
    "a shadow is bad": ({**HTTP, "shadow": [ERRORS]}, always(BAD), "improved", "status 200"),
    "a shadow is not measured": ({**HTTP, "shadow": [ERRORS]}, always(NO_DATA), "improved", ""),
    "a shadow is good, and what must be is bad": ({**HTTP, "shadow": [ERRORS]}, always(Now(probe=503)), "not_improved", "status 503"),
    "all that must be is not measured, and what should be is good": (
        {**ERRORS, "should": [HTTP]}, always(NO_DATA), "unknown", "no data"),
    # a share
    "one bad sample that may be": ({**ERRORS, "good_share": 0.8}, between(GOOD, 75, 80, BAD), "improved", "6 of the last 7"),
    "two bad samples where one may be": ({**ERRORS, "good_share": 0.8}, between(GOOD, 75, 85, BAD), "not_improved", ""),
    "one not measured that may be": ({**ERRORS, "good_share": 0.8}, between(GOOD, 75, 80, STALE), "improved", ""),
    "two not measured where one may be": ({**ERRORS, "good_share": 0.8}, between(GOOD, 75, 85, STALE), "unknown", "stale"),
    # a workload
    "the workload serves": (WORKLOAD, always(SERVED), "improved", "desired 2, available 2"),
    "the workload crashes": (WORKLOAD, always(BROKEN), "not_improved", "CrashLoopBackOff"),
    "the workload was scaled to zero": (WORKLOAD, always(ZERO), "unknown", "is scaled to zero"),
    "the workload is scaled to zero in the window": (WORKLOAD, then(SERVED, 70, ZERO), "unknown", "is scaled to zero"),
    "the workload was deleted": (WORKLOAD, always(GONE), "unknown", "not found"),
    "its users are not served": ({"must": [HTTP, WORKLOAD]}, always(FRONT), "not_improved", "cause elsewhere"),
    "scaled to zero behind a page that answers": ({"must": [HTTP, WORKLOAD]}, always(ZERO), "unknown", "is scaled to zero"),
}  # fmt: skip

BEFORE: dict[str, Case] = {
    "healthy now": (ERRORS, always(GOOD), "healthy", "all 7 samples good"),
    "unhealthy at the first look": (ERRORS, always(BAD), "unhealthy", "the only sample bad"),
    "unhealthy at the last look": (ERRORS, then(GOOD, 30, BAD), "unhealthy", "1 of the last 7"),
    "not measured at the first look": (ERRORS, always(NO_DATA), "unknown", "no data"),
    "not measured at the last look": (ERRORS, then(GOOD, 30, DOWN), "unknown", "down"),
    "a long query before any action": (look(query="sum(rate(errors_total[1h]))"), always(GOOD), "healthy", ""),
    "a shadow alone is bad": ({**HTTP, "shadow": [ERRORS]}, always(BAD), "healthy", ""),
    "the probe answers badly": (HTTP, always(Now(probe=500)), "unhealthy", "status 500"),
    "the probe is silent": (HTTP, always(SILENT), "unknown", "did not answer"),
}


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verdict]:
    """`virtual(criterion, timeline)` is the verdict in a world that a timeline describes, in no time."""

    def judged(written: Mapping[str, Any], timeline: Timeline, *, after: bool) -> Verdict:
        clock = SimpleNamespace(now=0.0)

        def sleep(seconds: float) -> None:
            clock.now += seconds

        def fetched(
            url: str, timeout_s: float, *, login: Any = None, form: Mapping[str, str] = NONE, at_most: int = 0
        ) -> Answer:
            now = timeline(clock.now)
            if now is SILENT:
                raise NotMeasured(f"{url} did not answer completely within {timeout_s:g} s")
            if not form:
                return Answer(url, now.probe, b"", 0.001)
            return Answer(url, now.status, now.answer(form["query"]), 0.001)

        def read(*_: Any, **__: Any) -> Mapping[str, Any]:
            if not (facts := timeline(clock.now).facts):
                raise NotMeasured("deployment/shop was not found")
            return facts

        time = SimpleNamespace(monotonic=lambda: clock.now)
        for module in (looks, series):
            monkeypatch.setattr(module, "time", time)
        for module in (http, series):
            monkeypatch.setattr(module, "fetch", fetched)
        monkeypatch.setattr(workload, "read", read)
        criterion = Criterion.model_validate({**WINDOW, **written})
        known = {
            one.key: BASE for one in criterion.looks if isinstance(one, Number) and "other" not in one.model_dump_json()
        }
        place = Place(
            "shop", "production", {"backstage.io/kubernetes-namespace": "shop"},
            lambda source, _: None if source == "http" else TenantLogin(url="http://metrics.test"),
            known, acted_at=0.0 if after else None,
        )  # fmt: skip
        take = looks.probe(criterion, place)
        assert not isinstance(take, str), take
        judge = watch if after else healthy_now
        return judge(criterion, take, lambda: clock.now, sleep)

    return judged


@pytest.mark.parametrize("name", CASES)
def test_after_an_action(virtual: Callable[..., Verdict], name: str) -> None:
    criterion, timeline, state, words = CASES[name]
    verdict = virtual(criterion, timeline, after=True)
    assert (verdict.state, words in verdict.reason) == (state, True), verdict.reason


@pytest.mark.parametrize("name", BEFORE)
def test_before_an_action(virtual: Callable[..., Verdict], name: str) -> None:
    criterion, timeline, state, words = BEFORE[name]
    verdict = virtual(criterion, timeline, after=False)
    assert (verdict.state, words in verdict.reason) == (state, True), verdict.reason
