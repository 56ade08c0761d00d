"""Gate: no emergency stop covers this action (spec section 3)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 10


def stop(s: Snapshot) -> Gate:
    if not s.stops:
        return Gate("stop", "passed", "no emergency stop covers this action")
    first = s.stops[0]
    return Gate(
        "stop",
        "failed",
        f"emergency stop {first.id} by {first.holder} covers {first.scope}: {first.reason}",
        {"stops": [{"id": f.id, "holder": f.holder, "reason": f.reason, "scope": f.scope} for f in s.stops]},
        clears_by="the incident commander" if s.policy.requires.commander_lifts_stop else "whoever is on call",
        command=first.cleared_with,
    )
