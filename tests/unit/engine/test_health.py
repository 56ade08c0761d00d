"""A whole step by a criterion of another source than HTTP: what is measured before and after the act, and what the record keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.light import PLAY, Light, home_with, take

from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit

Serve = Callable[..., str]
CHECKED = {"resultType": "vector", "result": [{"metric": {"check": "age0"}, "value": [0, "5"]}]}
"""Answers both what is asked of the samples, whose newest is 5 s old, and the query itself, by 5."""


@pytest.fixture
def home(tmp_path: Path, serve: Serve) -> Callable[..., Home]:
    """`home(query, below)` is one whose runbook asks a Prometheus that answers 5, and has a shadow that is never good."""

    def made(query: str, below: Any) -> Home:
        look = {"source": "prometheus", "connection": "metrics", "query": query, "below": below}
        success = json.dumps(
            {
                **look,
                "shadow": [{**look, "name": "never", "below": -1}],
                "minimum_samples": 2,
                "hold_s": 0,
                "interval_s": 0.01,
                "watch_s": 0.05,
            }
        )
        written = PLAY.replace(PLAY[PLAY.index("{url:") : PLAY.index("\n  tasks")], success)
        here = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", written)
        url = serve([json.dumps({"status": "success", "data": CHECKED}).encode()])
        (here.folder / "connections.yml").write_text(f"metrics: {{platform: prometheus, url: '{url}'}}\n")
        return here

    return made


def sampled(home: Home, type: str) -> dict[str, Any]:
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type=type)
    return dict(entry.data["sampled"])


def test_a_service_that_is_healthy_by_its_metric_is_left_alone(home: Callable[..., Home]) -> None:
    here, light = home("errors", 10), Light()
    assert take(here, light)["skip_reason"] == "healthy"
    assert not light.on


def test_what_each_look_said_is_on_the_record_and_a_shadow_decides_nothing(home: Callable[..., Home]) -> None:
    here = home("errors", 10)
    take(here, Light())
    rows = sampled(here, "action.skipped")["looks"]
    assert [(row["role"], row["look"], row["good"], row["bad"], row["value"]) for row in rows] == [
        ("must", "prometheus", 2, 0, 5),
        ("shadow", "never", 0, 2, 5),
    ]


def test_a_service_that_stays_sick_by_its_metric_is_not_improved(home: Callable[..., Home]) -> None:
    here, light = home("errors", 1), Light()
    assert (take(here, light)["outcome"], light.on) == ("not_improved", True)
    assert sampled(here, "action.ended")["bad"] >= 1


def test_a_query_that_reaches_over_the_act_does_not_judge_it(home: Callable[..., Home]) -> None:
    here = home("errors offset 1h", 1)
    light = Light()
    assert take(here, light)["outcome"] == "not_improved", "homelab notes what is not measured"
    assert "the query looks back 3600 s, over the action" in str(sampled(here, "action.ended")["looks"][0]["reason"])


def test_a_relative_limit_without_history_is_not_measured(home: Callable[..., Home]) -> None:
    here, light = home("errors", {"times": 2}), Light()
    take(here, light)
    assert "its baseline is not known" in str(sampled(here, "action.ended")["looks"][0]["reason"])


@pytest.mark.parametrize("below", [1, {"times": 2}])
def test_a_connection_that_is_not_there_is_not_measured_and_breaks_nothing(
    home: Callable[..., Home], below: Any
) -> None:
    here, light = home("errors", below), Light()
    (here.folder / "connections.yml").unlink()
    take(here, light)
    assert "connection 'metrics' is not in" in str(sampled(here, "action.ended")["looks"][0]["reason"])
