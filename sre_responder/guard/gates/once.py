"""Gate: a task acts on each host once, and a host that failed stops the rest."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 140


def once(s: Snapshot) -> Gate:
    host = s.request.host
    if any(one.host == host for one in s.acted):
        return _failed(f"this task already acted on {host} in this run; an action runs once")
    if lost := next((one for one in s.acted if one.state in ("failed", "unknown")), None):
        return _failed(f"host {lost.host} failed ({lost.reason}), so the other hosts are left as they are")
    if twin := next((one.host for one in s.acted if s.plan is not None and one.target == s.plan.target), None):
        return _failed(f"{host} and {twin} are two names of one target")
    done = len(s.acted)
    return Gate(
        "once", "passed", f"{done} of its hosts were acted on before" if done else "this task has not acted before"
    )


def _failed(reason: str) -> Gate:
    return Gate("once", "failed", reason, clears_by="an operator")
