"""A number from CloudWatch's API, as moto serves it."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
from support.control_plane import wait_until

from sre_responder.evidence.baseline import baseline
from sre_responder.evidence.looks import taken
from sre_responder.evidence.sources import cloudwatch
from sre_responder.evidence.sources.cloudwatch import Cloudwatch, CloudwatchLogin
from sre_responder.model.look import Place, Sample

pytestmark = pytest.mark.contract
SHOP = {"Service": "$service"}
Put = Callable[..., None]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}"), "moto answers")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/data.json", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time at which is looked: half a minute into a period, however long the test takes."""
    at = time.time() // 60 * 60 + 30
    monkeypatch.setattr(cloudwatch, "time", SimpleNamespace(time=lambda: at))
    return at


@pytest.fixture
def place(moto: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    cloudwatch._client.cache_clear()
    httpx.post(f"{moto}/moto-api/reset", trust_env=False)
    login = CloudwatchLogin(region="eu-central-1", endpoint_url=moto)
    return Place("checkout", "production", {}, lambda *_: login)


@pytest.fixture
def put(place: Place, moto: str, now: float) -> Put:
    client = boto3.client("cloudwatch", region_name="eu-central-1", endpoint_url=moto)

    def write(value: float, ago_s: float, dimensions: Mapping[str, str] = {"Service": "checkout"}) -> None:
        named = [{"Name": name, "Value": one} for name, one in dimensions.items()]
        at = datetime.fromtimestamp(now - ago_s, UTC)
        datum = {"MetricName": "Errors", "Dimensions": named, "Timestamp": at, "Value": value}
        client.put_metric_data(Namespace="Shop", MetricData=[datum])

    return write


def look(**fields: Any) -> Cloudwatch:
    given = {
        "namespace": "Shop",
        "metric": "Errors",
        "dimensions": SHOP,
        "statistic": "Sum",
        "below": 5,
        "timeout_s": 10,
    }
    return Cloudwatch.model_validate({**given, **fields})


def sample(place: Place, **fields: Any) -> Sample:
    return taken("must", look(**fields), place).sample


def test_the_last_whole_period_counts(place: Place, put: Put) -> None:
    put(9, 400)
    put(3, 150)
    assert (sample(place).ok, sample(place).value) == (True, 3)
    assert sample(place, below=2).ok is False
    assert sample(dataclasses.replace(place, service="cart")).ok is None


def test_what_is_not_whole_or_old_or_before_the_action_is_not_measured(place: Place, put: Put) -> None:
    assert "no data: Errors has no whole period" in sample(place).reason
    put(1, 0)
    assert "no data" in sample(place).reason, "its period is not over"
    put(1, 350)
    assert "stale: the newest whole period of Errors ended" in sample(place, max_age_s=200).reason
    acted = dataclasses.replace(place, acted_at=time.monotonic() - 60)
    assert "over the action" in sample(acted).reason


def test_a_baseline_is_taken_from_its_history(place: Place, put: Put, now: float) -> None:
    for minute in range(15):
        put(4, 3600 - 60 * minute)
    found = baseline(look(below={"times": 2}), place, now)
    assert (found.value, "the hour before" in found.reason) == (4, True), found.reason


def test_an_account_that_cannot_be_asked_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    login = CloudwatchLogin(region="eu-central-1", endpoint_url="http://127.0.0.1:1")
    found = sample(Place("checkout", "production", {}, lambda *_: login), timeout_s=1)
    assert (found.ok, "cannot query CloudWatch: EndpointConnectionError" in found.reason) == (None, True), found.reason
