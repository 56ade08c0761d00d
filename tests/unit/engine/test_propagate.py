"""The watch begins when a change has reached all that use it; what does not by its deadline is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import PLAY, Light, home_with, take

from sre_responder.effects import Change, Propagation, haproxy
from sre_responder.effects.route53.failover import FAILOVER as ROUTE53
from sre_responder.engine.step.propagate import Reached, reached
from sre_responder.errors import EffectFailed, OutcomeUnknown
from sre_responder.home import Home, find, runbook
from sre_responder.ledger import Ledger, audit


class Clock:
    """Seconds that pass by sleeping alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waited(look: Any, limit_s: float = 10, stopped_at: float = 1e9) -> Reached:
    clock = Clock()
    return reached(look, limit_s, lambda: clock.now - 100 >= stopped_at, clock, clock.sleep)


def test_it_is_looked_at_until_it_is_done() -> None:
    found = waited(lambda seconds: Propagation(seconds >= 3, f"{seconds:g} s"))
    assert found == Reached(True, 3, "3 s")


def test_what_is_done_at_once_is_not_waited_for() -> None:
    assert waited(lambda seconds: Propagation(True, "done")) == Reached(True, 0, "done")


def test_what_is_not_done_by_its_deadline_or_cannot_be_read_is_not_done() -> None:
    assert waited(lambda seconds: Propagation(False, "3 sessions")) == Reached(False, 10, "3 sessions")

    def unreadable(seconds: float) -> Propagation:
        raise EffectFailed("the socket is gone.")

    assert waited(unreadable, 2) == Reached(False, 2, "it cannot be read: the socket is gone")


def test_a_stop_ends_the_wait() -> None:
    found = waited(lambda seconds: Propagation(False, "3 sessions"), stopped_at=4)
    assert (found.done, found.after_s, "emergency stop" in found.how) == (False, 4, True)


class Slow(Light):
    """A light that shines the second time it is looked at, or never."""

    def __init__(self, answers: Iterator[bool]) -> None:
        super().__init__()
        self.answers = answers

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        done = next(self.answers)
        return Propagation(done, "it shines" if done else "it is still dark")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr("sre_responder.engine.step.propagate.POLL_S", 0.01)
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", PLAY)
    path = made.folder / "policy.yml"
    more = {"deadlines": {"propagate_seconds": 0.05}, "requires": {"measured_criterion": True, "approvals": False}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **more}))
    return find({"RESPONDER_HOME": str(made.folder), "RESPONDER_LEDGER": made.ledger_url})


def ended(home: Home) -> dict[str, Any]:
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="action.ended")
    return dict(entry.data)


def test_the_record_says_when_it_had_reached_all_and_how_that_is_known(home: Home, serve: Any) -> None:
    book = home.folder / "runbooks" / "purge" / "runbook.yml"
    answers = iter([False, True])
    url = serve(status=500)
    book.write_text(book.read_text().replace("http://127.0.0.1:1/", url))
    runbook.register(home.folder, [book.parent])
    again = find({"RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url})
    take(again, Slow(answers))
    said = ended(again)["sampled"]
    assert (said["propagated"]["done"], said["propagated"]["how"]) == (True, "it shines")
    assert (said["bad"] >= 1, list(answers)) == (True, [])


def test_what_has_not_reached_all_is_unknown_unmeasured_and_not_undone(home: Home, serve: Any) -> None:
    with pytest.raises(OutcomeUnknown, match="had not reached all that use it after 0 s: it is still dark"):
        take(home, Slow(iter(lambda: False, True)))
    said = ended(home)
    assert (said["outcome"], set(said["sampled"])) == ("unknown", {"propagated"})


def test_a_name_has_moved_once_its_ttl_has_passed() -> None:
    change = Change("route53:Z1:x", {"A a": {"TTL": 30}, "A b": {}}, {})
    early, late = (ROUTE53.propagated({}, change, seconds) for seconds in (59, 60))
    assert (early.done, late.done) == (False, True)
    assert "former answers for 60 s (TTL)" in late.how and "1 s of them to come" in early.how


def test_traffic_has_moved_once_the_servers_that_were_left_have_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(
        "x", {"east": "ready", "west": "drain", "old": "maint"}, {"east": "drain", "west": "ready", "old": "maint"}
    )
    cases = (
        (2, False, "sessions go on at east (2)"),
        (None, False, "sessions go on at east (not known)"),
        (0, True, "no session is left at east"),
    )
    for sessions, done, words in cases:
        rows = {name: haproxy.Server(0, True, 1, 1, False, "", sessions=sessions) for name in ("east", "west", "old")}
        monkeypatch.setattr(haproxy, "_servers", lambda arguments, rows=rows: rows)
        assert haproxy.FAILOVER.propagated({}, change, 1) == Propagation(done, words)
