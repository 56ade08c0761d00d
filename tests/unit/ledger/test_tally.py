"""The tally: whatever happened, and whenever a part of it is archived, what was counted stays counted."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from support import ledgers

from sre_responder.ledger import Ledger, archive, audit, tally

PLANS = ("a", "b")
HAPPENS = st.one_of(
    st.tuples(st.just("note.added"), st.none()),
    st.tuples(st.sampled_from(["gate.blocked", "approval.granted", "approval.denied"]), st.sampled_from(PLANS)),
)


def told(ledger: Ledger, number: int, type: str, plan: str | None, needed: int) -> None:
    gates = [{"name": "approval", "status": "failed", "clears_by_approval": True, "evidence": {"needed": needed}}]
    with ledger.transaction() as connection:
        audit.append(
            connection, number * 60.0, type, "x", "x", plan=plan, **({"gates": gates} if "gate" in type else {})
        )


def counted(ledger: Ledger) -> tally.Tally:
    with ledger.transaction(reading=True) as connection:
        found = tally.total(connection)
    return tally.Tally({key: number for key, number in found.items() if key != f"entry {audit.ARCHIVED}"})


@given(st.lists(HAPPENS, min_size=1, max_size=12), st.lists(st.integers(0, 13), max_size=3), st.integers(1, 3))
def test_archiving_at_any_time_takes_nothing_away(
    happened: list[tuple[str, str | None]], archived: list[int], needed: int
) -> None:
    with TemporaryDirectory() as folder:
        ledger = ledgers.make(Ledger(f"sqlite:///{folder}/ledger.db", clock=lambda: 1000.0))
        for number, (type, plan) in enumerate(happened, 1):
            told(ledger, number, type, plan, needed)
        before = counted(ledger)
        assert sum(number for key, number in before.items() if key.startswith("entry")) == len(happened)
        for number, minute in enumerate(sorted(archived)):
            archive.move(ledger, minute * 60.0 + 1, Path(folder) / f"{number}.jsonl", "x")
            assert counted(ledger) == before


def test_two_answers_that_are_needed_are_one_wait(tmp_path: Path) -> None:
    ledger = ledgers.make(Ledger(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: 1000.0))
    for number, (type, needed) in enumerate([("gate.blocked", 2), ("approval.granted", 2), ("gate.blocked", 2)], 1):
        told(ledger, number, type, "a", needed)
    assert counted(ledger)["waits"] == 0
    told(ledger, 4, "approval.granted", "a", 2)
    assert (counted(ledger)["waits"], counted(ledger)["waited_ms"]) == (1, 180_000)
