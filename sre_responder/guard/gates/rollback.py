"""Gate: fewer than 2 rollbacks failed in a row and fewer than 3 ran in 30 minutes (spec section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from sre_responder.guard.snapshot import Snapshot
from sre_responder.home.policy import Rollbacks
from sre_responder.ledger.audit import iso
from sre_responder.ledger.clock import Jump, before
from sre_responder.model.facts import Attempt
from sre_responder.model.gate import Gate

PLACE = 120


@dataclass(frozen=True)
class Standing:
    """How rollbacks in one environment stand: how many failed in a row, which ran within the window, and what blocks."""

    failed: int
    recent: tuple[Attempt, ...]
    row: bool
    many: bool

    @property
    def blocked(self) -> bool:
        return self.row or self.many


def standing(rollbacks: Sequence[Attempt], now: float, limits: Rollbacks, jumps: Sequence[Jump]) -> Standing:
    """Count the latest rollbacks, oldest first, against the limits."""
    failed = len(list(takewhile(lambda attempt: attempt.outcome != "improved", reversed(rollbacks))))
    began = before(now, limits.window_minutes * 60, jumps)
    recent = tuple(attempt for attempt in rollbacks if attempt.started_at > began)
    return Standing(failed, recent, failed >= limits.failed_in_a_row, len(recent) >= limits.within_window)


def breaker(s: Snapshot) -> str:
    """The name under which rollbacks in this environment are locked out and reset."""
    return f"rollbacks:{s.request.environment}"


def rollback(s: Snapshot) -> Gate:
    if s.spec is None or not s.spec.rollback:
        return Gate("rollback", "passed", "not a rollback")
    limits, name = s.policy.rollbacks, breaker(s)
    now = standing(s.rollbacks, s.now, limits, s.jumps)
    counted = f"{now.failed} failed in a row, {len(now.recent)} in {limits.window_minutes} minutes"
    evidence = {
        "failed_in_a_row": now.failed, "in_window": len(now.recent), "window_minutes": limits.window_minutes, "breaker": name
    }  # fmt: skip
    if not now.blocked:
        return Gate("rollback", "passed", counted, evidence)
    allowed = s.resets.get(name)
    if allowed is not None and not any(attempt.started_at >= allowed for attempt in s.rollbacks):
        return Gate("rollback", "passed", "one supervised retry has been authorized", evidence)
    opens = None if now.row else iso(now.recent[-limits.within_window].started_at + limits.window_minutes * 60)
    return Gate(
        "rollback",
        "failed",
        f"rollbacks in {s.request.environment} are locked out: {counted}",
        evidence,
        clears_by="an incident commander who allows one trial",
        clears_at=opens,
        command=f"responder reset {name}",
    )
