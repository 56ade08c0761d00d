"""Gate: the procedure, at this digest, worked before, or a person attests it (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 80


def tested(s: Snapshot) -> Gate:
    if not s.policy.requires.tested_procedures:
        return Gate("tested", "skipped", "this policy does not ask for tested procedures")
    if not s.production:
        return Gate("tested", "passed", "not production: this is where a procedure is tested")
    if s.request.undoes is not None:
        return Gate("tested", "passed", "an undo returns to a state that ran before")
    if s.runbook is None:
        return Gate("tested", "unknown", "without a registered runbook nothing can be said of its tests")
    if s.proven:
        return Gate("tested", "passed", f"measured: {s.proven}")
    if s.attested:
        return Gate("tested", "passed", f"attested, not measured: {s.attested}", {"attested": True})
    return Gate(
        "tested",
        "failed",
        f"runbook {s.runbook.id} at digest {s.runbook.digest[:12]} has not succeeded anywhere yet",
        {"digest": s.runbook.digest},
        clears_by="a successful non-production run, or a person who attests one",
        command=f"responder attest {s.runbook.id} --evidence URL",
    )
