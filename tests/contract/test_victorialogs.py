"""A number from a real VictoriaLogs: lines that are counted, and a service that logs nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from sre_responder.evidence.looks import taken
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources.victorialogs import Victorialogs
from sre_responder.model.look import Place, Sample

pytestmark = pytest.mark.contract
BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sre-responder/go/victoria-logs-v1.52.1"
ERRORS = '_time:1m app:"$service" level:error | stats count() errors'


@pytest.fixture
def logs(
    component: Callable[[str, str], Path], start: Callable[..., object], free_port: Callable[[], int],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> str:  # fmt: skip
    monkeypatch.setenv("PATH", f"{BUILT}:{os.environ['PATH']}")
    program, url = component("victoria-logs", "none: scripts/components builds it"), f"http://127.0.0.1:{free_port()}"
    words = [f"-storageDataPath={tmp_path / 'logs'}", f"-httpListenAddr={url[7:]}", "-retentionPeriod=7d"]
    start([program, *words], lambda: answers(url))
    return url


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def written(url: str, *levels: str) -> None:
    """Lines of the shop, and wait until they can be found."""
    now = datetime.now(UTC).isoformat()
    lines = [{"_time": now, "_msg": f"line {n}", "app": "checkout", "level": level} for n, level in enumerate(levels)]
    body = "\n".join(map(json.dumps, lines))
    httpx.post(f"{url}/insert/jsonline?_stream_fields=app", content=body, trust_env=False).raise_for_status()
    until = time.monotonic() + 20
    query = {"query": "_time:5m * | stats count() lines"}
    while f'"{len(levels)}"' not in httpx.get(f"{url}/select/logsql/stats_query", params=query, trust_env=False).text:
        assert time.monotonic() < until, "the lines are not found"
        time.sleep(0.1)


def sample(place: Place, query: str = ERRORS) -> Sample:
    return taken("must", Victorialogs(query=query, alive='_time:1m app:"$service"', below=2, timeout_s=5), place).sample


def test_lines_are_counted_while_the_service_logs(logs: str) -> None:
    place = Place("checkout", "production", {}, lambda *_: TenantLogin(url=logs))
    silent = sample(place)
    assert (silent.ok, "the service has logged nothing of late" in silent.reason) == (None, True), silent.reason
    written(logs, "info", "info", "error")
    assert (sample(place).ok, sample(place).value) == (True, 1)
    assert sample(dataclasses.replace(place, service="cart")).ok is None
    assert sample(place, "_time:1m * | stats count() lines").ok is False
    several = sample(place, "_time:1m * | stats by (level) count() lines")
    assert "2 series where one was meant" in several.reason
    wrong = sample(place, "_time:1m | nonsense")
    assert wrong.ok is None, wrong.reason
    acted = sample(dataclasses.replace(place, acted_at=time.monotonic() - 10))
    assert "the query looks back 60 s, over the action" in acted.reason
    assert Victorialogs.reached(TenantLogin(url=logs)) == "it answers queries"
