"""Gate: not production, or a valid approval of exactly this plan (spec sections 2, 4 and 5)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.facts import CLOCK_SLACK_SECONDS
from sre_responder.model.gate import Gate
from sre_responder.model.names import shown

PLACE = 70


def causes(s: Snapshot) -> list[str]:
    """Why this plan needs a person; empty where it does not."""
    if s.request.undoes is not None:
        moved = [s.plan.overwrites] if s.plan and s.plan.overwrites else []
        return [*moved, *(["production"] if s.production and not s.foreseen else [])]
    found = []
    limits = s.limits
    failures = sum(attempt.outcome != "improved" and attempt.outcome is not None for attempt in s.lineage)
    if s.production and not standing(s):
        found.append("production")
    if limits and limits.approval_after_failures is not None and failures >= limits.approval_after_failures:
        found.append(f"{failures} actions of this incident did not help")
    if limits and limits.approve_production_rollbacks and s.production and s.spec and s.spec.rollback:
        found.append("a rollback in production")
    if not s.measured and s.policy.requires.measured_criterion:
        found.append("the success criterion cannot be measured now")
    return [*found, *reaches_far(s)]


def reaches_far(s: Snapshot) -> list[str]:
    """Why the reach of this plan needs a person: it is not known, or more than the severity allows."""
    if s.radius is None:
        return []
    found = [f"it is not known who calls {s.request.service}: {s.radius.unknown}"] if s.radius.unknown else []
    traffic, tier_0 = (s.limits.traffic, s.limits.tier_0) if s.limits else (None, None)
    if traffic is not None and (s.radius.traffic is None or s.radius.traffic > traffic):
        reached = "an unknown share" if s.radius.traffic is None else f"{s.radius.traffic:.0%}"
        found.append(f"it reaches {reached} of observed traffic, the severity allows {traffic:.0%}")
    if tier_0 is not None and len(s.radius.tier_0) > tier_0:
        found.append(f"it reaches {', '.join(s.radius.tier_0)} of tier 0, the severity allows {tier_0}")
    return found


def standing(s: Snapshot) -> bool:
    """Whether the policy grants this runbook, by digest, this rung in production without asking."""
    return bool(s.runbook and s.spec and s.spec.rung in s.policy.approvals.standing.get(s.runbook.digest, ()))


def approval(s: Snapshot) -> Gate:
    why = causes(s)
    if not why:
        reason = "no approval is needed here"
        if s.foreseen:
            reason = f"whoever allowed the plan allowed its undo if {s.foreseen}"
        elif s.production and standing(s):
            reason = "standing approval of this runbook's digest"
        return Gate("approval", "passed", reason)
    if not s.policy.requires.approvals and s.plan and s.plan.overwrites:
        return Gate(
            "approval",
            "failed",
            f"{s.plan.overwrites}; the policy has no approvers who could allow it",
            clears_by="a person who looks, and undoes it by hand if that is still right",
            command=f"responder undo {s.request.undoes} --verified",
        )
    if not s.policy.requires.approvals:
        return Gate("approval", "skipped", f"the policy does not require approval here ({', '.join(why)})")
    needed, grants = s.approvals_needed, s.grants
    evidence = {
        "because": why,
        "needed": needed,
        "given_by": [a.person for a in grants],
        "expired_or_used": [a.person for a in s.approvals if a.used or a.expires_at <= s.now],
        "denied_by": [a.person for a in s.approvals if a.decision == "deny"],
        "drift": [{"field": field, "approved": old, "now": new} for field, old, new in s.drift],
    }
    if s.approved:
        who = ", ".join(a.person for a in grants)
        return Gate("approval", "passed", f"approved by {who}", evidence, spends_approval=True)
    reason = f"needs {needed} approval{'s'[: needed - 1]} of this exact plan ({', '.join(why)}); has {len(grants)}"
    if s.commander_missing:
        reason += "; one approver must be incident commander"
    if s.ahead > CLOCK_SLACK_SECONDS:
        reason += f"; none counts while the ledger's last entry is dated {s.ahead / 60:.0f} min ahead of the clock"
    if s.drift:
        moved = ", ".join(f"{field} was {shown(old, 60)} and is {shown(new, 60)}" for field, old, new in s.drift[:3])
        reason += f"; an approved plan does not hold any more: {moved}"
    return Gate(
        "approval",
        "failed",
        reason,
        evidence,
        clears_by="an incident commander"
        if s.commander_missing
        else "an operator or incident commander other than the requester",
        command=s.approve_command,
        clears_by_approval=True,
    )
