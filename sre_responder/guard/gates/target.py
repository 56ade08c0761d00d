"""Gate: nobody else holds this target (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 130


def target(s: Snapshot) -> Gate:
    if s.plan is None:
        return Gate("target", "unknown", "the target could not be resolved", clears_by="a readable target")
    evidence = {"target": s.plan.target}
    if s.frozen is not None:
        reason = f"attempt {s.frozen} on this target has an unknown outcome; it is frozen until a probe settles it"
        return Gate("target", "failed", reason, evidence, "its probe", command=f"responder settle '{s.plan.target}'")
    if s.holder is not None:
        # A lease that ran out is not free: its holder may still act. Only its end, or proof of death, frees it.
        reason = f"attempt {s.holder.attempt} of {s.holder.who} holds this target"
        return Gate("target", "failed", reason, evidence, "the end of that attempt", command="responder status")
    if s.plan.busy:
        return Gate(
            "target",
            "failed",
            f"something else is already changing this target: {s.plan.busy}",
            evidence,
            "the end of that work",
        )
    if wait := s.plan.wait:
        return Gate("target", "failed", wait.reason, evidence, "its end", clears_at=wait.until)
    return Gate("target", "passed", "nobody else holds this target", evidence)
