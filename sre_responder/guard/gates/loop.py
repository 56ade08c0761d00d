"""Gate: a remediation that did not last is locked out until the symptom was healthy or a person allows one retry.

Spec section 2: fewer than 2 attempts at this remediation of this target for this symptom in 15 minutes without recovery. Once
locked out, the clock alone does not reset it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from sre_responder.guard.snapshot import Snapshot
from sre_responder.ledger.clock import Jump, before
from sre_responder.model.gate import Gate

PLACE = 50


def locked_out_at(times: Sequence[float], limit: int, window: float, jumps: Sequence[Jump]) -> float | None:
    """When `limit` attempts first stood within `window` seconds of each other; None if they never did."""
    ordered = sorted(times)
    for first, last in zip(ordered, ordered[limit - 1 :], strict=False):
        if first > before(last, window, jumps):
            return last
    return None


def lockout(symptom: str, action: str, target: str | None) -> str:
    """The name under which a remediation of one target for one symptom is locked out and reset."""
    return f"{symptom}:{action}:{target}" if target else f"{symptom}:{action}"


def allow(name: str) -> str:
    """The command that allows one more attempt, as it is typed."""
    return f"responder reset {shlex.quote(name)}"


def loop(s: Snapshot) -> Gate:
    """Attempts are counted by target; where that could not be resolved, the gate `target` refuses."""
    if s.plan is None:
        return Gate("loop", "skipped", "attempts are counted by target, which could not be resolved")
    limits, target = s.policy.loop, s.plan.target
    name = lockout(s.symptom, s.request.action, target)
    tries = [a.started_at for a in s.attempts if a.action == s.request.action and a.acted_on(target)]
    closed = locked_out_at(tries, limits.attempts, limits.window_minutes * 60, s.jumps)
    evidence = {
        "attempts": len(tries),
        "limit": limits.attempts,
        "window_minutes": limits.window_minutes,
        "breaker": name,
    }
    if closed is None:
        return Gate(
            "loop",
            "passed",
            f"{len(tries)} earlier attempts at this remediation of this target since the symptom was healthy",
            evidence,
        )
    allowed = s.resets.get(name)
    if allowed is not None and not any(at >= allowed for at in tries):
        return Gate("loop", "passed", "one supervised retry has been authorized", evidence)
    return Gate(
        "loop",
        "failed",
        f"{limits.attempts} attempts at {s.request.action} of this target for this symptom "
        f"within {limits.window_minutes} minutes without recovery",
        evidence,
        clears_by=f"the symptom measured healthy for {limits.healthy_seconds:g} s, or a person who allows one supervised retry",
        command=allow(name),
    )
