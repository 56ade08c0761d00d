"""Gate: fewer than 2 rollbacks failed in a row and fewer than 3 ran in 30 minutes (spec section 2)."""

from __future__ import annotations

from itertools import takewhile

from sre_responder.guard.snapshot import Gate, Snapshot
from sre_responder.ledger.audit import iso


def breaker(s: Snapshot) -> str:
    """The name under which rollbacks in this environment are closed off and acknowledged."""
    return f"rollbacks:{s.request.environment}"


def rollback(s: Snapshot) -> Gate:
    if s.spec is None or not s.spec.rollback:
        return Gate("rollback", "passed", "not a rollback")
    limits, name = s.policy.rollbacks, breaker(s)
    allowed = s.acknowledged.get(name)
    since = [attempt for attempt in s.rollbacks if allowed is None or attempt.started_at >= allowed]
    failed = len(list(takewhile(lambda attempt: attempt.outcome != "improved", reversed(s.rollbacks))))
    recent = [attempt for attempt in s.rollbacks if s.now - attempt.started_at < limits.window_minutes * 60]
    evidence = {
        "failed_in_a_row": failed,
        "in_window": len(recent),
        "window_minutes": limits.window_minutes,
        "breaker": name,
    }
    row = failed >= limits.failed_in_a_row
    many = len(recent) >= limits.within_window
    if not row and not many:
        return Gate(
            "rollback",
            "passed",
            f"{failed} failed in a row, {len(recent)} in {limits.window_minutes} minutes",
            evidence,
        )
    if allowed is not None and not since:
        return Gate("rollback", "passed", "one supervised trial was allowed by a person", evidence)
    reason = (
        f"{failed} rollbacks failed in a row"
        if row
        else f"{len(recent)} rollbacks ran in {limits.window_minutes} minutes"
    )
    clears_at = None if row else iso(recent[-limits.within_window].started_at + limits.window_minutes * 60)
    return Gate(
        "rollback",
        "failed",
        reason,
        evidence,
        "an incident commander who allows one trial",
        clears_at,
        f"responder acknowledge {name}",
    )
