"""Objectives of OpenSLO and Sloth as looks at Prometheus; what cannot be one says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.looks import probe
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources.prometheus import Prometheus
from sre_responder.evidence.sources.slo import Slo
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import NotMeasured, Place

SLOS = Path(__file__).with_name("slos")


def resolved(name: str, slos: Path = SLOS, **more: Any) -> Prometheus:
    found = Slo(slo=name, **more).resolved(Place("web-shop", "production", slos=slos))
    assert isinstance(found, Prometheus)
    return found


@pytest.mark.parametrize(
    ("name", "query", "below"),
    [
        (
            "requests-availability",
            '((sum(rate(apiserver_request_total{code=~"(5..|429)"}[300s]))) or 0 * (sum(rate(apiserver_request_total[300s]))))'
            " / (sum(rate(apiserver_request_total[300s])))",
            0.001,
        ),
        ("k8s-apiserver-raw", "avg_over_time(wifi_bad_ratio[300s])", 0.05),
        (
            "satisfaction",
            "((sum_over_time((count(client_satisfaction_ratio < 0.75))[300s:]) OR on() vector(0)) or 0 *"
            " (sum_over_time((count(client_satisfaction_ratio))[300s:]))) / (sum_over_time((count(client_satisfaction_ratio))[300s:]))",
            0.05,
        ),
        (
            "$service-availability",
            '1 - ((sum(rate(http_requests_total{job="shop",code!~"5.."}[300s]))) or 0 *'
            ' (sum(rate(http_requests_total{job="shop"}[300s])))) / (sum(rate(http_requests_total{job="shop"}[300s])))',
            0.005,
        ),
        ("slices", "((sum(rate(x_errors_total[5m]))) or 0 * (sum(rate(x_total[5m])))) / (sum(rate(x_total[5m])))", 0.1),
        ("stored", "1 - (shop:good:ratio5m)", 0.1),
    ],
)
def test_the_share_of_bad_events_over_the_window_stays_below_the_budget(name: str, query: str, below: float) -> None:
    look = resolved(name)
    assert (look.query, look.below) == (query, pytest.approx(below))


def test_a_threshold_holds_as_its_operator_says_and_a_reference_names_the_connection() -> None:
    look = resolved("search", window_s=120)
    assert (look.expect, look.below) == ("value <= `0.5`", None)
    assert "[120s]" in look.query
    assert (resolved("availability").connection, look.connection) == ("shop", None)
    assert resolved("availability", connection="other").connection == "other"


@given(burn=st.floats(0.01, 19.9), window=st.integers(60, 3600))
def test_burn_multiplies_the_budget_and_the_window_is_that_of_every_query(burn: float, window: int) -> None:
    look = resolved("raw", burn=burn, window_s=window)
    assert look.below == pytest.approx(burn * 0.05)
    assert look.query == f"avg_over_time(wifi_bad_ratio[{window}s])"


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("plugin", {}, "a plugin, which only Sloth can run"),
        ("whole", {}, "leaves no error budget"),
        ("templated", {}, "a template other than {{.window}}"),
        ("nothing", {}, "no objective 'nothing'"),
        ("stored", {"burn": 11}, "burns at most 10 times its budget"),
    ],
)
def test_what_cannot_be_measured_says_why(name: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(NotMeasured) as raised:
        resolved(name, **more)
    assert words in str(raised.value)


def ratio(**more: Any) -> dict[str, Any]:
    good, total = ({"metricSource": {"type": "Prometheus", "spec": {"query": one}}} for one in ("good", "all"))
    return {"ratioMetric": {"counter": False, "good": good, "total": total, **more}}


def source(query: str, **more: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **more}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"indicatorRef": "gone"}, "there is no kind: SLI"),
        ({"indicator": {"spec": {}}}, "neither ratioMetric nor thresholdMetric"),
        ({"indicator": {"spec": ratio(good=None)}}, "one of good and bad"),
        ({"indicator": {"spec": ratio(bad=source("bad"))}}, "one of good and bad"),
        ({"indicator": {"spec": ratio(total=source("all", type="Datadog"))}}, "of type Datadog"),
        ({"indicator": {"spec": ratio(total=source("all", spec={"q": "all"}))}}, "has no PromQL"),
        ({"indicator": {"spec": ratio(total=source("all", metricSourceRef="b"))}}, "two sources, None and b"),
        ({"indicator": {"spec": ratio(counter=True, good=source("sum(good_total)"))}}, "of a counter"),
        ({"indicator": {"spec": ratio(raw=source("x"))}}, "raw needs rawType"),
        ({"indicator": {"spec": ratio()}, "objectives": [{"target": 1}]}, "leaves no error budget"),
        ({"indicator": {"spec": ratio()}, "objectives": [{}]}, "neither target nor targetPercent"),
        ({"indicator": {"spec": ratio()}, "objectives": []}, "objectives: "),
        ({"indicator": {"spec": {"thresholdMetric": source("x")}}}, "needs op and value"),
    ],
)
def test_an_openslo_that_cannot_be_turned_says_what_and_why(tmp_path: Path, spec: Any, words: str) -> None:
    head = {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "x"}}
    document = {**head, "spec": {"service": "shop", "objectives": [{"target": 0.9}], **spec}}
    (tmp_path / "x.yml").write_text(yaml.safe_dump(document))
    with pytest.raises(NotMeasured, match=r"objective 'x' of .*x\.yml cannot be measured: ") as raised:
        resolved("x", tmp_path)
    assert words in str(raised.value)


def test_another_version_of_openslo_is_named(tmp_path: Path) -> None:
    text = "apiVersion: openslo/v1alpha\nkind: SLO\nmetadata: {name: x}\nspec: {service: a}\n"
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(NotMeasured, match="it is of openslo/v1alpha: write openslo/v1"):
        resolved("x", tmp_path)


def test_a_broken_file_disables_its_own_objectives_alone_and_two_of_one_name_are_none(tmp_path: Path) -> None:
    good = (SLOS / "sloth.yml").read_text()
    (tmp_path / "a.yml").write_text(good)
    (tmp_path / "broken.yml").write_text("slos: [")
    (tmp_path / "odd.yml").write_text("version: prometheus/v1\nservice: x\nslos: [{name: y}]\n")
    assert resolved("raw", tmp_path).below == pytest.approx(0.05)
    with pytest.raises(NotMeasured, match=r"no objective 'y'.*broken\.yml.*odd\.yml: slos\.0\.objective"):
        resolved("y", tmp_path)
    (tmp_path / "b.yml").write_text(good.replace("k8s-apiserver", "other"))
    with pytest.raises(
        NotMeasured, match=r"several objectives are called 'raw': k8s-apiserver-raw in a\.yml and other-raw"
    ):
        resolved("raw", tmp_path)
    assert resolved("other-raw", tmp_path).below == pytest.approx(0.05)


def test_named_alone_it_brings_a_window_as_long_as_its_query_looks_back() -> None:
    criterion = Criterion.model_validate({"slo": "availability"})
    assert (criterion.watch_s, criterion.hold_s, criterion.interval_s, criterion.samples) == (300, 60, 5, 13)
    assert Criterion.model_validate({"slo": "availability", "watch_s": 9}).watch_s == 9
    doubts = [one.rule for one in resolved("availability").doubts(criterion, criterion.must)]
    assert doubts == []


def test_it_is_measured_as_the_query_that_it_stands_for(serve: Callable[..., str]) -> None:
    answer = '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"check": "age0"}, "value": [1, "0.16"]}]}}'
    login = TenantLogin(url=serve(body=[answer.encode()]))
    place = Place("web-shop", "production", login=lambda *_: login, slos=SLOS)
    take = probe(Criterion.model_validate({"slo": "stored"}), place)
    assert not isinstance(take, str)
    found = take()
    assert found.parts[0].look.source == "prometheus"
    assert (found.ok, found.reason) == (False, "stored 0.16 is not below 0.1"), found.reason


def test_without_its_file_each_sample_says_so(tmp_path: Path) -> None:
    take = probe(Criterion.model_validate({"slo": "x"}), Place("a", "production", slos=tmp_path))
    assert not isinstance(take, str)
    assert (take().ok, "no objective 'x'" in take().reason) == (None, True)
