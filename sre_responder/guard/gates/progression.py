"""Gate: every less invasive rung that applies was tried, or is recorded as not applicable (spec section 2)."""

from __future__ import annotations

from collections.abc import Sequence

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.facts import Attempt, Step
from sre_responder.model.gate import Gate

PLACE = 110


def progression(s: Snapshot) -> Gate:
    if s.spec is not None and s.spec.containment:
        return Gate("progression", "passed", "containment and undo stand beside the ladder")
    if s.spec is None or s.runbook is None:
        return Gate("progression", "unknown", "without a registered runbook the rungs below are not known")
    tried = [attempt for attempt in s.attempts if attempt.outcome in ("improved", "not_improved", "unmeasured")]
    below = [step for step in s.runbook.steps if 0 < step.rung < s.spec.rung]
    missing = [
        step for step in below if step.digest not in s.not_applicable and not _tried(step, s.runbook.steps, tried, s)
    ]
    evidence = {"tried": sorted({attempt.action for attempt in tried}), "missing": [step.action for step in missing]}
    if missing:
        names = ", ".join(f"'{step.name}' ({step.action}, rung {step.rung})" for step in missing)
        return Gate(
            "progression",
            "failed",
            f"less invasive steps were not tried: {names}",
            evidence,
            clears_by="trying them, or recording why they do not apply (applies: false, because: ...)",
        )
    return Gate("progression", "passed", f"{len(below)} less invasive steps tried or not applicable", evidence)


def _tried(step: Step, steps: Sequence[Step], tried: Sequence[Attempt], s: Snapshot) -> bool:
    """Whether a step was tried: by its action where the runbook has it once, else by what exactly the step does.

    So two restarts of two programs are both to be tried, and one that is written again behind a rollback is not waited for.
    """
    if step.digest in s.skipped_as_tried:
        return True
    if len({other.does for other in steps if other.action == step.action}) == 1:
        return step.action in {attempt.action for attempt in tried}
    by = {attempt.step for attempt in tried} | s.skipped_as_tried
    return step.does in {other.does for other in steps if other.digest in by}
