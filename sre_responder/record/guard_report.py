"""The guard's own account, counted from the record: what it allowed, what it refused and why, and what came of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
    fates = Counter(
        fate(entry, (e for e in known if e.id > entry.id and e.incident == entry.incident)) for entry in refusals
    )
    return Report(
        decisions=allowed + len(refusals), allowed=allowed, refused=len(refusals), by_gate=dict(by_gate.most_common()),
        saves=fates["save"], false_blocks=fates["false_block"], asked_and_approved=fates["asked_and_approved"],
        unknown=fates["unknown"],
    )  # fmt: skip


def fate(refusal: Entry, later: Iterable[Entry]) -> Fate:
    """What came of one refusal, from the later entries of its incident.

    A save: the service was healthy before the action was taken. A false block: within ten minutes a person did the same.
    """
    action = refusal.data.get("action")
    # A refusal that people clear by an approval is a question, not a block.
    asked = all(gate.get("clears_by_approval") for gate in refusal.data.get("gates", []))
    for entry in later:
        if entry.type == "action.started" and entry.data.get("action") == action:
            if not entry.data.get("approved_by"):
                return "unknown"
            if asked:
                return "asked_and_approved"
            return "false_block" if entry.seconds - refusal.seconds <= FALSE_BLOCK_SECONDS else "unknown"
        if entry.type == "action.skipped" and entry.data.get("reason") == "healthy":
            return "save"
    return "unknown"
