"""`http_cache_purge` against a real Varnish and a real Squid: what is purged is fetched anew, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sre_responder.effects import EFFECTS
from sre_responder.errors import EffectFailed, InputError

pytestmark = pytest.mark.contract

PURGE = EFFECTS["http_cache_purge"]
Cache = Callable[[int, str], str]
"""`varnish` and `squid`: from the origin's port and the rules to the cache's address."""

TAKES = {
    "varnish, purge": ("varnish", "purge", 'if (req.method == "PURGE") { return (purge); }'),
    "varnish, ban": ("varnish", "ban", 'if (req.method == "BAN") { ban("req.url == " + req.url); return (synth(200)); }'),
    "squid, purge": ("squid", "purge", "acl purge method PURGE\nhttp_access allow purge"),
}  # fmt: skip
REFUSES = {
    "varnish, purge": (
        "varnish",
        "purge",
        'if (req.method == "PURGE") { return (synth(405)); }',
        "was answered 405; nothing was purged",
    ),
    "varnish, ban": (
        "varnish",
        "ban",
        'if (req.method == "BAN") { return (synth(403)); }',
        "was answered 403; nothing was purged",
    ),
    "squid, purge": (
        "squid",
        "purge",
        "acl purge method PURGE\nhttp_access deny purge",
        "was answered 403; nothing was purged",
    ),
    "squid without a rule": ("squid", "purge", "", "was answered 403; nothing was purged"),
    "varnish without a rule, which hands it on to the origin": ("varnish", "purge", "", "nothing was purged"),
}


@dataclass(frozen=True)
class Cached:
    """A cache that holds /a and /b of a counting origin."""

    url: str
    method: str
    origin: Any

    def arguments(self, path: str = "/a") -> dict[str, Any]:
        return {"url": self.url + path, "method": self.method}

    def fetches(self, path: str) -> int:
        """How often the origin has been asked for it after one more GET of it."""
        httpx.get(self.url + path).raise_for_status()
        return int(self.origin.requests.count(f"GET {path}"))


@pytest.fixture
def cached(request: pytest.FixtureRequest, origin: Callable[..., Any]) -> Cached:
    cache, method, rules, *_ = request.param
    behind = origin()
    start: Cache = request.getfixturevalue(cache)
    made = Cached(start(behind.port, rules), method, behind)
    for path in ("/a", "/b", "/a", "/b"):
        assert made.fetches(path) == 1, "the cache does not keep it"
    return made


takes = pytest.mark.parametrize("cached", TAKES.values(), ids=TAKES, indirect=True)
one = pytest.mark.parametrize("cached", [TAKES["varnish, purge"]], ids=["varnish, purge"], indirect=True)


@takes
def test_plan_purges_nothing(cached: Cached) -> None:
    change = PURGE.plan(cached.arguments())
    assert change.changed and change.evidence["status"] == 200
    assert cached.fetches("/a") == 1


@takes
def test_purged_object_is_fetched_anew_and_another_stays_cached(cached: Cached) -> None:
    change = PURGE.plan(cached.arguments())
    observed = PURGE.act(cached.arguments(), change)
    assert observed.items() >= change.after.items()
    assert (cached.fetches("/a"), cached.fetches("/b")) == (2, 1)


@takes
def test_purge_of_what_is_no_longer_cached_succeeds_too(cached: Cached) -> None:
    change = PURGE.plan(cached.arguments())
    first, second = (PURGE.act(cached.arguments(), change) for _ in range(2))
    assert first["kept"] is second["kept"] is False
    assert cached.fetches("/a") > 1  # each purge looks at the cache once more, which fills some of them


@takes
def test_there_is_nothing_to_undo_because_the_cache_fills_again(cached: Cached) -> None:
    change = PURGE.plan(cached.arguments())
    PURGE.act(cached.arguments(), change)
    assert change.undo == [] and "fills again" in change.undo_note
    assert [cached.fetches("/a"), cached.fetches("/a")] == [2, 2]


@pytest.mark.parametrize(("cached", "told"), [(c, c[-1]) for c in REFUSES.values()], ids=REFUSES, indirect=["cached"])
def test_cache_that_does_not_purge_is_told_and_keeps_its_object(cached: Cached, told: str) -> None:
    change = PURGE.plan(cached.arguments())
    with pytest.raises(EffectFailed, match=told):
        PURGE.act(cached.arguments(), change)
    assert cached.fetches("/a") == 1


@one
def test_cache_whose_origin_is_gone_is_purged_all_the_same(cached: Cached) -> None:
    cached.origin.close()
    PURGE.act(cached.arguments(), PURGE.plan(cached.arguments()))
    assert httpx.get(cached.url + "/b").status_code == 200
    assert httpx.get(cached.url + "/a").status_code == 503


@one
def test_what_became_of_a_purge_cannot_be_read_later(cached: Cached) -> None:
    change = PURGE.plan(cached.arguments())
    assert PURGE.became(change, PURGE.read(cached.arguments())) is None
    PURGE.act(cached.arguments(), change)
    assert PURGE.became(change, PURGE.read(cached.arguments())) is None


def test_address_where_no_cache_answers_is_bad_input(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}/a"
    with pytest.raises(InputError, match=f"no cache answers at {url}"):
        PURGE.plan({"url": url})
