"""Random histories under a random clock: loop, budget and rollback say what a model of a few lines says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import select
from support import size
from support.history import BOOKS, History, Outcome, lock

from sre_responder.guard.breakers import locked_out
from sre_responder.ledger.schema import chain

AUTOMATIC = {"SEV1": 3, "SEV2": 2, "SEV3": 3, "SEV4": 1000}
ROLLBACK, ROLLBACKS = "release_rollback", "rollbacks:staging"


@dataclass(frozen=True)
class Try:
    """One attempt that acted, numbered in the order of events."""

    order: int
    at: float
    incident: str
    service: str
    action: str
    outcome: Outcome

    @property
    def breaker(self) -> str:
        return lock(self.action, self.service)


@dataclass
class Model:
    """What the specification says, in the order of events; the ledger's time only measures the windows."""

    order: int = 0
    tries: list[Try] = field(default_factory=list)
    recovered: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    healthy: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    severity: dict[str, str] = field(default_factory=dict)

    def of_symptom(self, service: str) -> list[Try]:
        since = self.recovered.get(service, 0)
        return [one for one in self.tries if one.service == service and one.order > since]

    def closed(self, breaker: str, now: float) -> Sequence[Try]:
        """The attempts that close it off; none where it is open."""
        if breaker == ROLLBACKS:
            made = [one for one in self.tries if one.action == ROLLBACK]
            failed = len(made) > 1 and all(one.outcome != "improved" for one in made[-2:])
            return made if failed or sum(now - one.at < 30 * 60 for one in made) >= 3 else []
        made = [one for one in self.of_symptom(breaker.split(":")[1]) if one.breaker == breaker]
        return made if any(second.at - first.at < 15 * 60 for first, second in pairwise(made)) else []

    def opens(self, breaker: str, now: float) -> bool:
        """Open, or a trial was allowed since the last attempt."""
        made = self.closed(breaker, now)
        return not made or self.trials.get(breaker, 0) > made[-1].order

    def budget(self, service: str, incident: str) -> bool:
        """A worse severity under which the symptom was acted on still holds."""
        symptom, own = self.of_symptom(service), self.severity[incident]
        severities = {own, *(self.severity[one.incident] for one in symptom)}
        used = {*symptom, *(one for one in self.tries if one.incident == incident)}
        return len(used) < min(AUTOMATIC[severity] for severity in severities if severity <= own)

    def measured(self, service: str, now: float, ok: bool) -> None:
        """One healthy period of a minute starts the counts anew, once."""
        since, last, counted = self.healthy.pop(service, (now, now, False))
        if ok:
            since, counted = (since, counted) if now - last <= 60 else (now, False)
            if now - since >= 60 and not counted:
                self.recovered[service], counted = self.order, True
            self.healthy[service] = since, now, counted


services = st.sampled_from(["checkout", "search"])
books = st.sampled_from(["purge", "roll-back"])
outcomes = st.sampled_from(["not_improved", "improved", "unknown", "not_done"])


class Histories(RuleBasedStateMachine):
    """The guard and the model, told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.room, self.model = TemporaryDirectory(), Model()
        self.history = History(Path(self.room.name))
        self.an_incident_is_opened("checkout", "SEV4")
        self.an_incident_is_opened("search", "SEV2")

    def teardown(self) -> None:
        self.room.cleanup()

    @property
    def now(self) -> float:
        with self.history.ledger.transaction(reading=True) as connection:
            return self.history.ledger.now(connection)

    @rule(minutes=st.sampled_from([-30, -1, 0.5, 14, 15, 29, 30, 60]))
    def the_clock_moves(self, minutes: float) -> None:
        self.history.minute += minutes

    @rule(service=services, severity=st.sampled_from(sorted(AUTOMATIC)))
    def an_incident_is_opened(self, service: str, severity: str) -> None:
        self.history.opened(self.history.minute, severity, service)
        self.model.severity[self.history.incidents[service, "staging"]] = severity

    @rule(service=services, moments=st.sampled_from([[True, True], [True], [True, False, True], [False, True, True]]))
    def health_is_measured_each_minute(self, service: str, moments: list[bool]) -> None:
        for ok in moments:
            self._next()
            self.model.measured(service, self.now, ok)
            self.history.healthy(self.history.minute, service=service, ok=ok)
            self.history.minute += 63 / 64

    @rule(service=services, book=books)
    def a_trial_is_allowed(self, service: str, book: str) -> None:
        self._next()
        breaker = ROLLBACKS if book == "roll-back" else lock(BOOKS[book][1][0], service)
        self.model.trials[breaker] = self.model.order
        self.history.reset(self.history.minute, breaker)

    @rule(service=services, book=books, outcomes=st.lists(outcomes, min_size=2, max_size=3))
    def a_remedy_is_asked_for(self, service: str, book: str, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._ask(service, book, outcome)

    def _next(self) -> None:
        """No two events are at the same time, unless the clock was set back."""
        self.model.order += 1
        self.history.minute += 1 / 64

    def _ask(self, service: str, book: str, outcome: Outcome) -> None:
        self._next()
        model, history = self.model, self.history
        found = history.asks(history.minute, book, service=service)
        action, incident = BOOKS[book][1][0], history.incidents[service, "staging"]
        with history.ledger.transaction(reading=True) as connection:
            now = connection.execute(select(chain.c.at)).scalar_one()  # the guard put its decision on the record
        asked = Try(model.order, now, incident, service, action, outcome)
        expected = {
            "loop": model.opens(asked.breaker, now),
            "rollback": action != ROLLBACK or model.opens(ROLLBACKS, now),
            "budget": model.budget(service, incident),
        }
        assert {name: found[name].status == "passed" for name in expected} == expected
        assert history.last.allowed == all(expected.values())
        if history.last.allowed:
            history.ended(outcome)
            if outcome == "unknown":  # nothing more is done to its target before it is settled
                history.settled(history.minute, "done")
            model.tries += [asked] if outcome != "not_done" else []

    @invariant()
    def what_is_locked_out_is_said(self) -> None:
        with self.history.ledger.transaction(reading=True) as connection:
            now = self.history.ledger.now(connection)
            found = locked_out(connection, now, self.history.home.policy)
        breakers = {ROLLBACKS, *(one.breaker for one in self.model.tries)}
        assert set(found) == {breaker for breaker in breakers if self.model.closed(breaker, now)}


# A history of twenty steps can be read as it is; to shorten it would take minutes.
found_as_it_is = (Phase.explicit, Phase.reuse, Phase.generate)
Histories.TestCase.settings = settings(
    max_examples=size.of(5, 15), stateful_step_count=20, deadline=None, phases=found_as_it_is
)  # fmt: skip
test_guard_and_model_agree_on_every_history = Histories.TestCase
