"""Gate: every less invasive rung that applies was tried, or is recorded as not applicable (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Gate, Snapshot


def progression(s: Snapshot) -> Gate:
    if s.spec is not None and s.spec.containment:
        return Gate("progression", "passed", "containment and undo stand beside the ladder")
    if s.spec is None or s.runbook is None:
        return Gate("progression", "unknown", "without a registered runbook the rungs below are not known")
    tried = {attempt.action for attempt in s.attempts if attempt.outcome in ("improved", "not_improved")}
    below = [step for step in s.runbook.steps if 0 < step.rung < s.spec.rung]
    missing = [step for step in below if step.action not in tried and step.digest not in s.not_applicable]
    evidence = {"tried": sorted(tried), "missing": [step.action for step in missing]}
    if missing:
        names = ", ".join(f"{step.action} (rung {step.rung})" for step in missing)
        return Gate(
            "progression",
            "failed",
            f"less invasive steps were not tried: {names}",
            evidence,
            clears_by="trying them, or recording why they do not apply (applies: false, because: ...)",
        )
    return Gate("progression", "passed", f"{len(below)} less invasive steps tried or not applicable", evidence)
