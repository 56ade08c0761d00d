"""The guard's own account, counted from the record: what it allowed, what it refused and why, and what came of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sre_responder.ledger.audit import Entry

FALSE_BLOCK_SECONDS = 600

Fate = Literal["save", "false_block", "asked_and_approved", "unknown"]


@dataclass(frozen=True)
class Report:
    """Counts over a period. What cannot be known stays `unknown`; nothing is guessed."""

    decisions: int
    allowed: int
    refused: int
    by_gate: dict[str, int]
    saves: int
    false_blocks: int
    asked_and_approved: int
    unknown: int


def report(entries: Iterable[Entry]) -> Report:
    """Count the decisions among these entries, which are in order."""
    known = [entry for entry in entries if entry.incident]
    refusals = [entry for entry in known if entry.type == "gate.blocked"]
    allowed = sum(entry.type == "action.started" for entry in known)
    by_gate = Counter(gate["name"] for entry in refusals for gate in entry.data.get("gates", []))
    fates = Counter(_fates(known))
    return Report(
        decisions=allowed + len(refusals), allowed=allowed, refused=len(refusals), by_gate=dict(by_gate.most_common()),
        saves=fates["save"], false_blocks=fates["false_block"], asked_and_approved=fates["asked_and_approved"],
        unknown=fates["unknown"],
    )  # fmt: skip


def _fates(known: Sequence[Entry]) -> Iterator[Fate]:
    """What came of each refusal. From the last entry to the first, so that what came next is known when a refusal is met."""
    healthy: dict[str, Entry] = {}
    started: dict[tuple[str, str], Entry] = {}
    for entry in reversed(known):
        incident, action = str(entry.incident), str(entry.data.get("action"))
        if entry.type == "gate.blocked":
            yield fate(entry, started.get((incident, action)), healthy.get(incident))
        elif entry.type == "action.started":
            started[incident, action] = entry
        elif entry.type == "action.skipped" and entry.data.get("reason") == "healthy":
            healthy[incident] = entry


def fate(refusal: Entry, done: Entry | None, healthy: Entry | None) -> Fate:
    """What came of one refusal, from the next entries of its incident that say the action was done, or found healthy.

    A save: the service was healthy before the action was taken. A false block: within ten minutes a person did the same.
    """
    if done is None or (healthy is not None and healthy.id < done.id):
        return "save" if healthy else "unknown"
    if not done.data.get("approved_by"):
        return "unknown"
    # A refusal that people clear by an approval is a question, not a block.
    if all(gate.get("clears_by_approval") for gate in refusal.data.get("gates", [])):
        return "asked_and_approved"
    return "false_block" if done.seconds - refusal.seconds <= FALSE_BLOCK_SECONDS else "unknown"
