"""How long one decision takes on a ledger with a long past."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import past, question
from bench.figures import Figure, ratio
from bench.ledgers import databases
from sre_responder.home import Home
from sre_responder.ledger import Ledger

ROUNDS = 50
HOW = """\
The same decision, all gates and the reservation in one durable transaction, on three ledgers that differ by their
past: 10³, 10⁵ and 10⁶ earlier attempts with their effects, plans, approvals and as many entries of the record, over
one year and 100 services. The three are asked in turn, so the ratio is of pairs that stood side by side. SQLite syncs
every commit to disk; PostgreSQL runs as the tests start it, with fsync off."""

SIZES = {"1e3": 10**3, "1e5": 10**5, "1e6": 10**6}


def measure(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as made:
        for database, url in made.items():
            homes = {name: question.make(Path(folder) / database / name, url(f"past_{name}")) for name in SIZES}
            for name, home in homes.items():
                past.write(Ledger(home.ledger_url), SIZES[name], home.runbooks.named("purge").digest)
            taken: dict[str, list[float]] = {name: [] for name in SIZES}
            for number in range(rounds + 1):
                for name, home in homes.items():
                    taken[name].append(_decide(home, number))
            for name, seconds in taken.items():
                yield Figure(f"{database}: decision at {name}, median", statistics.median(seconds[1:]) * 1000, "ms")
            yield Figure(
                f"{database}: decision at 1e6 / at 1e3", ratio(taken["1e6"][1:], taken["1e3"][1:]), "", "<= 1.2"
            )


def _decide(home: Home, number: int) -> float:
    """The seconds of one decision. The first imports, so it is no figure: it stays as an attempt that did not help."""
    ledger = Ledger(home.ledger_url)
    question.begin(ledger, [f"run-{number}"])
    began = time.perf_counter()
    decision = question.ask(home, ledger, f"run-{number}", "http_cache:0")
    seconds = time.perf_counter() - began
    if not decision.allowed:
        raise AssertionError(decision.refusals)
    question.end(ledger, decision, "not_done" if number else "not_improved")
    return seconds
