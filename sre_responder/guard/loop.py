"""Gate: a remedy that did not last is closed off until the symptom was healthy or a person allows one trial.

Spec section 2: fewer than 2 attempts at this remedy for this symptom in 15 minutes without recovery. Once closed off,
the clock alone does not open it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from sre_responder.guard.snapshot import Gate, Snapshot


def closed_off_at(times: Sequence[float], limit: int, window: float) -> float | None:
    """When `limit` attempts first stood within `window` seconds of each other; None if they never did."""
    ordered = sorted(times)
    for first, last in zip(ordered, ordered[limit - 1 :], strict=False):
        if last - first < window:
            return last
    return None


def breaker(s: Snapshot) -> str:
    """The name under which this remedy for this symptom is closed off and acknowledged."""
    return f"{s.symptom}:{s.request.action}"


def loop(s: Snapshot) -> Gate:
    limits, name = s.policy.loop, breaker(s)
    tries = [attempt.started_at for attempt in s.attempts if attempt.action == s.request.action]
    window = limits.window_minutes * 60
    closed = closed_off_at(tries, limits.attempts, window)
    evidence = {
        "attempts": len(tries),
        "limit": limits.attempts,
        "window_minutes": limits.window_minutes,
        "breaker": name,
    }
    if closed is None:
        return Gate(
            "loop", "passed", f"{len(tries)} earlier attempts at this remedy since the symptom was healthy", evidence
        )
    allowed = s.acknowledged.get(name)
    if allowed is not None and not any(at >= allowed for at in tries):
        return Gate("loop", "passed", "one supervised trial was allowed by a person", evidence)
    return Gate(
        "loop",
        "failed",
        f"{limits.attempts} attempts at {s.request.action} for this symptom within {limits.window_minutes} minutes without recovery",
        evidence,
        clears_by=f"the symptom measured healthy for {limits.healthy_seconds:g} s, or a person who allows one supervised trial",
        command=f"responder acknowledge {name}",
    )
