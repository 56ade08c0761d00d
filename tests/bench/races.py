"""Whether processes that race for the last of something ever get more than there is."""

from __future__ import annotations

import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench import question
from bench.figures import Figure
from bench.ledgers import databases
from sre_responder.approvals import approval
from sre_responder.errors import LedgerUnavailable
from sre_responder.guard.decide import Decision
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, plans

ROUNDS = 20
HOW = """\
64 processes stand at a barrier; in each round it opens and all ask for the same at once. A round is right where
exactly as many are allowed as there is, and all others are refused, each by the gate that guards it or by a ledger
that was busy for longer than 10 s."""

RACERS = 64
MANY_ATTEMPTS = {"loop": {"attempts": 10**6}}


@dataclass(frozen=True)
class Race:
    """What is raced for: how many may win, and the gate that refuses the others."""

    wins: int
    gate: str
    severity: str = "SEV4"
    environment: str = "staging"
    policy: Mapping[str, Any] = field(default_factory=dict)
    one_target: bool = False
    """All want the same target; else each has its own."""

    def target(self, round: int, racer: int) -> str:
        return f"http_cache:{round}" if self.one_target else f"http_cache:{round}-{racer}"

    def right(self, told: Sequence[Decision | None]) -> bool:
        """Exactly as many won as may, and the gate refused the others."""
        answered = [decision for decision in told if decision is not None]
        refused = [{gate.name for gate in decision.refusals} for decision in answered if not decision.allowed]
        return len(answered) - len(refused) == self.wins and all(self.gate in gates for gates in refused)


RACES = {
    "a budget of 2": Race(2, "budget", "SEV2", policy=MANY_ATTEMPTS),
    "a lease": Race(1, "target", policy=MANY_ATTEMPTS, one_target=True),
    "a budget of 3": Race(3, "budget", "SEV3", policy=MANY_ATTEMPTS),
    "a single-use approval": Race(
        1, "approval", environment="production", one_target=True,
        policy={**MANY_ATTEMPTS, "requires": {"tested_procedures": False}},
    ),
}  # fmt: skip

_home = cache(question.home)
_barrier: Any = None


def measure(rounds: int) -> Iterator[Figure]:
    processes = multiprocessing.get_context("forkserver")  # it imports once for all 64
    processes.set_forkserver_preload([__name__])
    with (
        tempfile.TemporaryDirectory() as folder,
        databases(Path(folder)) as made,
        processes.Pool(RACERS, _stand, [processes.Barrier(RACERS)]) as pool,
    ):
        for database, url in made.items():
            for number, (name, race) in enumerate(RACES.items()):
                place = Place(Path(folder) / f"{database}-{number}", url(f"race_{number}"))
                place.make(race)
                seconds, wrong, unanswered = [], 0, 0
                for round in range(rounds):
                    place.prepare(race, round)
                    began = time.perf_counter()
                    told = pool.starmap(_ask, [(place, race, round, racer) for racer in range(RACERS)], chunksize=1)
                    seconds.append(time.perf_counter() - began)
                    wrong += not race.right(told) or place.held() != race.wins
                    unanswered += told.count(None)
                    place.clear(told)
                what = f"{database}: {RACERS} for {name}"
                yield Figure(f"{what}, wrong rounds", wrong, f"of {rounds}", "= 0")
                yield Figure(f"{what}, no answer in time", unanswered, f"of {rounds * RACERS}")
                yield Figure(f"{what}, until the last answer, median", statistics.median(seconds), "s")


@dataclass(frozen=True)
class Place:
    """Where one race is run: its home and its ledger."""

    folder: Path
    url: str

    @property
    def home(self) -> Home:
        return _home(self.folder, self.url)

    def make(self, race: Race) -> None:
        question.make(self.folder, self.url, environment=race.environment, severity=race.severity, policy=race.policy)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key"], check=True)
        (self.home.folder / "allowed_signers").write_text(f"iris {(self.folder / 'key.pub').read_text()}")
        (self.home.folder / "people.yml").write_text("people: [{name: iris, principal: iris, roles: [operator]}]")

    def prepare(self, race: Race, round: int) -> None:
        """The runs of all racers, and one approval where that is what they race for."""
        ledger = Ledger(self.url)
        question.begin(ledger, [_run(round, racer) for racer in range(RACERS)])
        if race.gate == "approval":
            plan = question.asked(self.home, "", race.target(round, 0), race.environment)[1]
            statement = approval.state("approval", plan.digest, self.home.people.named("iris"), time.time(), 600)
            signature = approval.sign(statement, self.folder / "key")
            with ledger.transaction() as connection:
                plans.add_approval(connection, statement, signature)

    def held(self) -> int:
        """How many the ledger says have won."""
        with Ledger(self.url).transaction(reading=True) as connection:
            return len(attempts.held(connection))

    def clear(self, told: Sequence[Decision | None]) -> None:
        """What was won is given back, so that the next round begins as this one did."""
        for decision in told:
            if decision is not None and decision.allowed:
                question.end(Ledger(self.url), decision)


def _run(round: int, racer: int) -> str:
    return f"run-{round}-{racer}"


def _stand(barrier: Any) -> None:
    """A racer knows its barrier."""
    global _barrier
    _barrier = barrier


def _ask(place: Place, race: Race, round: int, racer: int) -> Decision | None:
    """One racer's decision; None where the ledger gave none in time, which allows nothing."""
    home, ledger = place.home, Ledger(place.url)
    _barrier.wait(120)
    try:
        return question.ask(home, ledger, _run(round, racer), race.target(round, racer), race.environment)
    except LedgerUnavailable:
        return None
