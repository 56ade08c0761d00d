"""Gate: the scope was identified, and contained where the runbook asks for it, before remediation (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 90


def containment(s: Snapshot) -> Gate:
    if not s.remediation:
        return Gate("containment", "passed", "not a remediation: this is containment or an undo")
    if s.runbook and s.runbook.contain_first and not s.contained:
        return Gate(
            "containment",
            "failed",
            f"runbook {s.runbook.id} asks for containment first",
            clears_by="a containment step that is done",
            command="ansible-playbook sre.responder.contain",
        )
    if not s.policy.requires.identified_scope:
        return Gate("containment", "skipped", "this policy does not ask for an identified scope")
    if not s.scope_identified:
        return Gate(
            "containment",
            "failed",
            f"the scope of {s.request.incident} has not been assessed yet",
            clears_by="a sre.responder.diagnose step before this one",
            command="ansible-playbook sre.responder.diagnose",
        )
    return Gate("containment", "passed", "the scope has been assessed" + (" and contained" if s.contained else ""))
