"""How fast the record is verified and grows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import past
from bench.figures import Figure
from bench.ledgers import databases
from sre_responder.ledger import Ledger, audit

ROUNDS = 5
HOW = """\
`audit verify` walks a chain of 100 000 entries and hashes each anew; the fastest of several walks, for what makes one
slower is other work of the machine. Then entries are appended to it: each in a durable transaction of its own, and
many in one."""

ENTRIES, ALONE, TOGETHER = 100_000, 200, 2_000


def measure(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as made:
        for database, url in made.items():
            ledger = Ledger(url("record"))
            ledger.upgrade()
            past.write_chain(ledger, ENTRIES)
            rate = ENTRIES / min(_verify(ledger, ENTRIES) for _ in range(rounds))
            yield Figure(f"{database}: verify", rate, "entries/s", "> 50000")
            yield Figure(
                f"{database}: append, each in its own transaction", ALONE / _append(ledger, ALONE, 1), "entries/s"
            )
            yield Figure(
                f"{database}: append, all in one transaction", TOGETHER / _append(ledger, 1, TOGETHER), "entries/s"
            )
            _verify(ledger, ENTRIES + ALONE + TOGETHER)


def _verify(ledger: Ledger, entries: int) -> float:
    began = time.perf_counter()
    verdict = audit.verify(ledger)
    seconds = time.perf_counter() - began
    if verdict != audit.Verdict(True, entries):
        raise AssertionError(verdict)
    return seconds


def _append(ledger: Ledger, transactions: int, entries: int) -> float:
    began = time.perf_counter()
    for _ in range(transactions):
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            for number in range(entries):
                audit.append(connection, now, "note", "dana", "seen", incident="INC-1234", number=number)
    return time.perf_counter() - began
