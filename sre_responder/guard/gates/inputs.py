"""Gate: every name and argument is well formed, known and confirmed (spec section 1)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 20


def inputs(s: Snapshot) -> Gate:
    problems = list(s.request.problems)
    if s.spec is None:
        problems.append(f"action '{s.request.action}' is not on the allowlist of guarded actions")
    if s.production and not s.request.confirm_production:
        problems.append("environment production needs confirm_production: true (--confirm-production)")
    if s.plan is None and not problems:
        problems.append("there is no plan: the state of the target could not be read")
    if problems:
        return Gate(
            "inputs", "failed", "; ".join(problems), {"problems": problems}, clears_by="whoever wrote the input"
        )
    return Gate("inputs", "passed", "all names are known and every argument is valid")
