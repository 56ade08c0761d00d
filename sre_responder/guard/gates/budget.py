"""Gate: automatic actions are used up by severity and incident; then a person decides (spec section 5)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 60


def budget(s: Snapshot) -> Gate:
    if s.request.undoes is not None:
        return Gate("budget", "passed", "an undo takes back an action, and counts as none")
    if s.incident is None and not s.policy.requires.tickets:
        return Gate("budget", "skipped", "without tickets there is no severity to take a limit from")
    if s.limits is None:
        return Gate(
            "budget", "unknown", "the incident has no severity, so its limit is not known", clears_by="an operator"
        )
    limit = s.limits.automatic_actions
    used = sum(attempt.automatic for attempt in s.lineage)
    severity = s.incident.severity if s.incident else None
    evidence = {"used": used, "limit": limit, "severity": severity}
    if limit is None:
        return Gate("budget", "passed", f"{severity} has no limit of automatic actions", evidence)
    if used < limit:
        return Gate("budget", "passed", f"{used} of {limit} automatic actions used", evidence)
    if s.approved:
        reason = f"{used} of {limit} automatic actions used; this one a person approved"
        return Gate("budget", "passed", reason, evidence, spends_approval=True)
    spent = f"{severity} allows {limit} automatic actions and all have been used"
    if not s.policy.requires.approvals:
        return Gate(
            "budget",
            "failed",
            f"{spent}; this policy does not use approvals",
            evidence,
            clears_by=f"you: repair it by hand, or raise severities.{severity}.automatic_actions in policy.yml",
            command=f"responder incident show {s.request.incident}",
        )
    return Gate(
        "budget",
        "failed",
        f"{spent}; the next one needs approval",
        evidence,
        clears_by="an approver",
        command=s.approve_command,
        clears_by_approval=True,
    )
