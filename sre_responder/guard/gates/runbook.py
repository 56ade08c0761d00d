"""Gate: the action is a declared step of a registered runbook, and the run was not halted (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 40


def runbook(s: Snapshot) -> Gate:
    facts = s.runbook
    if s.halted:
        return Gate(
            "runbook",
            "failed",
            f"this run was halted: {s.halted}",
            clears_by="an operator",
            command="run the runbook again",
        )
    if s.request.undoes is not None:
        return Gate("runbook", "passed", f"the undo of attempt {s.request.undoes}, written before that attempt")
    if facts is None:
        return Gate(
            "runbook",
            "failed",
            "this task is not part of a registered runbook",
            clears_by="an operator",
            command="responder runbooks register FOLDER",
        )
    evidence = {"runbook": facts.id, "digest": facts.digest}
    if not facts.registered:
        reason = f"runbook {facts.id} has changed since it was registered (digest {facts.digest[:12]})"
        return Gate(
            "runbook", "failed", reason, evidence, "an operator", command=f"responder runbooks register {facts.id}"
        )
    if s.request.step not in {step.digest for step in facts.steps}:
        return Gate(
            "runbook",
            "failed",
            f"this task is not a declared step of runbook {facts.id}, or its play was changed",
            evidence,
            "an operator",
        )
    return Gate("runbook", "passed", f"a declared step of {facts.id}, digest {facts.digest[:12]}", evidence)
