"""Evidence from a real Prometheus, whose history was written before it started: every way in which a number may lie."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml
from support.prometheus import prometheus

from sre_responder.evidence.baseline import baseline
from sre_responder.evidence.looks import probe, taken
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources.prometheus import Prometheus
from sre_responder.evidence.sources.slo import Slo
from sre_responder.evidence.verdict import watch
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Number, Place, Sample
from sre_responder.model.worse import Worse

pytestmark = pytest.mark.contract
SCRAPE, DAY = 15, 86_400
Value = Callable[[int], float]
"""Of the number of the scrape, counted from the oldest."""


def series(name: str, value: Value, end: float, minutes: float = 20) -> str:
    """One series as a scrape every 15 seconds left it, up to a time."""
    first = int(end - minutes * 60) // SCRAPE * SCRAPE
    times = range(first, int(end) + 1, SCRAPE)
    return "".join(f"{name} {value(number)} {at}\n" for number, at in enumerate(times))


def written(now: float) -> str:
    """What Prometheus knows. All of one metric stands together, as OpenMetrics wants it."""
    at = {"a": 'job="shop",instance="a:80"', "b": 'job="shop",instance="b:80"', "down": 'job="cart",instance="c:80"'}
    return "".join([
        series(f"up{{{at['a']}}}", lambda n: 1, now + 60),
        series(f"up{{{at['b']}}}", lambda n: 1, now + 60),
        series(f"up{{{at['down']}}}", lambda n: 1 if n < 70 else 0, now + 60),
        series(f"requests_total{{{at['a']}}}", lambda n: 20 * n, now + 60),
        series(f"requests_total{{{at['b']}}}", lambda n: 20 * n, now + 60),
        series(f"errors_total{{{at['a']}}}", lambda n: 0.2 * n, now + 60),
        series(f"errors_total{{{at['b']}}}", lambda n: 0.2 * n, now + 60),
        series(f"cart_requests_total{{{at['down']}}}", lambda n: 20 * n, now - 60),
        series(f"stopped_total{{{at['a']}}}", lambda n: 20 * n, now - 200),
        series(f"gone_total{{{at['a']}}}", lambda n: 20 * n, now - 400),
        series(f"young_total{{{at['a']}}}", lambda n: 20 * n, now + 60, minutes=1.2),
        series(f"crashing_total{{{at['a']}}}", lambda n: 10 * (n % 7), now + 60),
        series(f"idle_total{{{at['a']}}}", lambda n: 7, now + 60),
        series(f"temperature{{{at['a']}}}", lambda n: 20 if n % 3 else 30, now + 60),
        series(f"seasonal{{{at['a']}}}", lambda n: 100, now - 7 * DAY, minutes=120),
        series(f"seasonal{{{at['a']}}}", lambda n: 120, now - DAY, minutes=120),
        series(f"seasonal{{{at['a']}}}", lambda n: 200, now + 60),
        series(f"recent{{{at['a']}}}", lambda n: 50 if n < 470 else 900, now + 60, minutes=130),
        series(f"share{{{at['a']}}}", lambda n: 0.02 if n < 470 else 0.4, now + 60, minutes=130),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, component: Callable[[str, str], Path]) -> Iterator[str]:
    programs = component("prometheus", "prometheus"), component("promtool", "prometheus")
    with prometheus(*programs, tmp_path_factory.mktemp("prometheus"), written(time.time())) as url:
        yield url


@pytest.fixture
def place(served: str) -> Place:
    return Place("checkout", "production", {"responder/label-job": "shop"}, lambda *_: TenantLogin(url=served))


def sample(place: Place, query: str, **fields: object) -> Sample:
    good = {} if {"above", "expect"} & fields.keys() else {"below": 1e9}
    return taken("must", Prometheus.model_validate({"query": query, "timeout_s": 10, **good, **fields}), place).sample


TOTAL = "sum(rate(requests_total[1m]))"
RATIO = 'sum(rate(errors_total{job="$job"}[1m])) / sum(rate(requests_total{job="$job"}[1m]))'


def test_a_ratio_below_its_limit_is_good_and_one_that_is_not_is_bad(place: Place) -> None:
    good, bad = sample(place, RATIO, below=0.05), sample(place, RATIO, below=0.005)
    assert (good.ok, good.value) == (True, pytest.approx(0.01)), good.reason
    assert (bad.ok, "is not below 0.005" in bad.reason) == (False, True)


@pytest.mark.parametrize(
    ("query", "fields", "reason"),
    [
        ("sum(rate(no_such_total[1m]))", {}, "no data: no_such_total has no current sample"),
        ("sum(rate(gone_total[10m]))", {}, "no data: gone_total has no current sample"),
        ("sum(rate(stopped_total[5m]))", {}, "stale: the newest sample of stopped_total is 2"),
        ("sum(rate(young_total[5m]))", {"minimum_points": 15}, "too few samples: "),
        ("min_over_time(temperature[10s])", {}, "too few samples: "),
        ("sum(rate(crashing_total[5m]))", {}, "crashing_total began again"),
        ("crashing_total", {}, "crashing_total began again"),
        ("sum(rate(cart_requests_total[5m]))", {}, "1 scrape target of cart_requests_total down"),
        ("rate(requests_total[1m])", {}, "2 series where one was meant ({instance=a:80, job=shop}, {instance=b:80, job=shop})"),
        ("sum(rate(idle_total[1m])) / sum(rate(idle_total[1m]))", {}, "the value is nan"),
        ("sum(rate(requests_total[1m])) / sum(rate(idle_total[1m]))", {}, "the value is inf"),
        ("sum(rate(requests_total[1m])", {}, "the query was refused"),
        ("sum(rate(never_total[1m])) or vector(0)", {}, "no data: never_total has no current sample"),
        (f"sum(rate(never_total[1m])) / {TOTAL}", {}, "no data: no series matches"),
        ("requests_total[1m]", {}, "2 series where one was meant"),
        ('"text"', {}, "the answer is not one of Prometheus' API: ValueError a string is no number"),
        ("sum(rate(requests_total[1m])) > 1e9", {}, "no data: no series matches"),
        ('sum(rate(requests_total{job="$nothing"}[1m]))', {}, "$nothing is not set"),
        ("avg(temperature)", {"range_s": 3600}, "too few values: "),
    ],
)  # fmt: skip
def test_a_number_that_may_lie_is_not_measured_and_says_why(
    place: Place, query: str, fields: dict[str, object], reason: str
) -> None:
    found = sample(place, query, **fields)
    assert (found.ok, reason in found.reason) == (None, True), found.reason


@pytest.mark.parametrize(
    ("query", "fields", "value"),
    [
        ("sum(rate(crashing_total[5m]))", {"resets": True}, None),
        ("sum(rate(cart_requests_total[5m]))", {"down_targets": True}, None),
        ("min(up)", {}, 0),
        ('min(up{job="shop"})', {}, 1),
        ("sum(resets(crashing_total[5m])) > bool 0", {}, 1),
        ("sum(rate(stopped_total[5m]))", {"max_age_s": 600}, None),
        ("2 * 21", {}, 42),
        (f"(sum(rate(never_total[1m])) or 0 * {TOTAL}) / {TOTAL}", {}, 0),
        ('sum(rate(requests_total{instance=~"a.*|b:80"}[1m]))', {}, pytest.approx(8 / 3, rel=0.01)),
        ("avg(temperature)", {"range_s": 120, "below": 31}, 30),
        ("avg(temperature)", {"range_s": 120, "above": 19}, 20),
        ("sum(rate(requests_total[1m] offset 5m))", {}, pytest.approx(8 / 3, rel=0.01)),
        ("max_over_time(avg(temperature)[5m:15s])", {}, 30),
    ],
)  # fmt: skip
def test_a_number_that_can_be_trusted_or_was_declared_so_is_measured(
    place: Place, query: str, fields: dict[str, object], value: float | None
) -> None:
    found = sample(place, query, **fields)
    assert found.ok is True, found.reason
    assert value is None or found.value == value


@pytest.mark.parametrize(("seconds", "ok"), [(5, None), (70, True)])
def test_a_window_that_reaches_over_the_action_is_not_measured(place: Place, seconds: float, ok: bool | None) -> None:
    acted = dataclasses.replace(place, acted_at=time.monotonic() - seconds)
    found = sample(acted, RATIO)
    assert (found.ok, "the query looks back 60 s, over the action 5 s ago" in found.reason) == (ok, ok is None)


def test_a_baseline_is_that_of_yesterday_and_last_week_not_of_the_incident(place: Place) -> None:
    look = Prometheus(query="avg(seasonal)", below={"times": 1.5})
    found = baseline(look, place, time.time())
    assert found.value in (100, 110, 120)
    assert "yesterday and a week ago" in found.reason
    known = dataclasses.replace(place, baselines={look.key: found})
    assert (judged := taken("must", look, known).sample).ok is False
    assert "is not below" in judged.reason and "(baseline 1" in judged.reason


def test_without_history_of_other_days_the_hour_before_is_the_baseline(place: Place) -> None:
    found = baseline(Prometheus(query="avg(recent)", below={"times": 1.5}), place, time.time())
    assert (found.value, "the hour before" in found.reason) == (50, True)


def test_what_was_never_measured_has_no_baseline_and_is_not_judged(place: Place) -> None:
    look = Prometheus(query="avg(no_such)", below={"plus": 1})
    found = baseline(look, place, time.time())
    assert (found.value, "fewer than 10 values" in found.reason) == (None, True)
    known = dataclasses.replace(place, baselines={look.key: found})
    assert taken("must", look, known).sample.ok is None


def test_an_error_rate_far_above_its_baseline_ends_a_watch_long_before_its_end(place: Place) -> None:
    criterion = Criterion.model_validate({
        "source": "prometheus", "query": "avg(share)", "below": 0.05, "error_rate": True, "timeout_s": 10,
        "watch_s": 600, "interval_s": 0.2,
    })  # fmt: skip
    [look] = criterion.must
    known = {look.key: baseline(cast(Number, look), place, time.time())}
    take = probe(criterion, dataclasses.replace(place, baselines=known))
    assert not isinstance(take, str), take
    began = time.monotonic()
    verdict = watch(criterion, take, time.monotonic, time.sleep, worse=Worse(minutes=0.02))
    assert verdict.state == "not_improved" and time.monotonic() - began < criterion.watch_s
    assert verdict.reason.endswith("prometheus 0.4 is above 0.12 (baseline 0.02)"), verdict.reason


def test_a_prometheus_that_is_not_there_is_not_measured() -> None:
    gone = Place("checkout", "production", {}, lambda *_: TenantLogin(url="http://127.0.0.1:1"))
    found = sample(gone, "up")
    assert (found.ok, "cannot reach http://127.0.0.1:1/api/v1/query" in found.reason) == (None, True)


@pytest.mark.parametrize(
    ("objective", "ok", "words"),
    [(98, True, "0.01 is below 0.02"), (99.5, False, "0.01 is not below 0.005")],
)
def test_an_objective_is_measured_by_the_share_that_burns_its_budget(
    place: Place, tmp_path: Path, objective: float, ok: bool, words: str
) -> None:
    queries = (f'sum(rate({name}{{job="$job"}}[{{{{.window}}}}]))' for name in ("errors_total", "requests_total"))
    events = dict(zip(("error_query", "total_query"), queries, strict=True))
    slo = {"name": "availability", "objective": objective, "sli": {"events": events}}
    (tmp_path / "shop.yml").write_text(
        yaml.safe_dump({"version": "prometheus/v1", "service": "checkout", "slos": [slo]})
    )
    one = Slo(slo="$service-availability", window_s=60, timeout_s=10)
    found = taken("must", one, dataclasses.replace(place, slos=tmp_path)).sample
    assert (found.ok, words in found.reason) == (ok, True), found.reason


def test_an_objective_without_errors_or_without_traffic(place: Place, tmp_path: Path) -> None:
    def measured(total: str) -> Sample:
        events = {"error_query": "sum(rate(no_errors_total[{{.window}}]))", "total_query": total}
        slo = {"name": "x", "objective": 99, "sli": {"events": events}}
        (tmp_path / "x.yml").write_text(yaml.safe_dump({"version": "prometheus/v1", "service": "a", "slos": [slo]}))
        return taken("must", Slo(slo="x", timeout_s=10), dataclasses.replace(place, slos=tmp_path)).sample

    assert measured("sum(rate(requests_total[{{.window}}]))").ok is True
    assert measured("sum(rate(idle_total[{{.window}}]))").ok is None
    assert measured("sum(rate(absent_total[{{.window}}]))").ok is None
