"""Reading the sources: what each shows now beside what it showed before, and what a source that fails keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.answering import answering

from sre_responder.home import Home, find, observed
from sre_responder.home.observed import Call, Seen
from sre_responder.radius.refresh import merged, refresh

NOW, DAY = 1_000_000.0, 86_400
LINKS = [{"parent": "edge", "child": "shop", "callCount": 3600}]


def home(folder: Path, url: str, platform: str = "zipkin", **graph: Any) -> Home:
    """A home whose one source is there."""
    source = {"kind": "zipkin", "connection": "traces"}
    (folder / "policy.yml").write_text(yaml.safe_dump({"graph": {"sources": [source], **graph}}))
    (folder / "connections.yml").write_text(yaml.safe_dump({"traces": {"platform": platform, "url": url}}))
    return find({"RESPONDER_HOME": str(folder), "RESPONDER_LEDGER": f"sqlite:///{folder / 'state' / 'ledger.db'}"})


def refreshed(folder: Path, links: Any, now: float = NOW) -> Seen:
    body = json.dumps(links).encode()
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as url:
        here = home(folder, url)
        [found] = refresh(here, now).values()
    assert home(folder, url).observed.sources == {"zipkin@traces": found}, "the guard reads what was found"
    return found


def test_what_a_source_shows_is_kept_with_its_time(tmp_path: Path) -> None:
    assert refreshed(tmp_path, LINKS) == Seen(at=NOW, calls=(Call("edge", "shop", 1.0, NOW),))


@pytest.mark.parametrize("shown", [[], {"error": "x"}])
def test_a_source_that_shows_nothing_keeps_what_it_showed_and_its_age(tmp_path: Path, shown: Any) -> None:
    before = refreshed(tmp_path, LINKS)
    after = refreshed(tmp_path, shown, NOW + 600)
    assert (after.at, after.calls) == (before.at, before.calls) and after.problem


def test_a_source_without_a_connection_of_its_platform_says_so(tmp_path: Path) -> None:
    [found] = refresh(home(tmp_path, "http://127.0.0.1:9", platform="jaeger"), NOW).values()
    assert found.at is None and "no connection 'traces' of platform zipkin" in found.problem


def test_a_source_that_left_the_policy_is_forgotten(tmp_path: Path) -> None:
    refreshed(tmp_path, LINKS)
    (tmp_path / "policy.yml").write_text("graph: {sources: []}\n")
    here = find({"RESPONDER_HOME": str(tmp_path), "RESPONDER_LEDGER": f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"})
    assert here.observed.sources == {}
    assert refresh(here, NOW) == observed.load(here.state / observed.FILE).sources == {}


def test_a_call_that_is_not_seen_again_is_a_dependency_without_traffic_until_it_is_old() -> None:
    old, older = Call("shop", "bill", 5.0, NOW - DAY), Call("shop", "fax", 5.0, NOW - 31 * DAY)
    again = Call("edge", "shop", 2.0, NOW)
    found = merged([old, older, again._replace(seen_at=NOW - DAY, per_second=9.0)], [again], NOW - 30 * DAY)
    assert set(found) == {old._replace(per_second=0), again}
