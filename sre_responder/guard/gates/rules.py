"""Gate: no rule of the policy refuses this plan, and as many people approved it as its rules ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sre_responder.guard.snapshot import Snapshot
from sre_responder.home.rule import Rule, judged
from sre_responder.model.facts import Attempt
from sre_responder.model.gate import Gate

PLACE = 75


def rules(s: Snapshot) -> Gate:
    if not s.policy.rules:
        return Gate("rules", "passed", "the policy has no rules")
    said = judged(s.policy.rules, facts(s))
    evidence = {"true": list(said.true), "unclear": dict(said.unclear)}
    if said.unclear:
        words = "; ".join(f"{name}: {why}" for name, why in said.unclear.items())
        return Gate("rules", "unknown", words, evidence, clears_by="an operator, who corrects policy.yml")
    if said.refusing:
        return Gate(
            "rules", "failed", _because(said.refusing), evidence, clears_by="a change of what the rule is about"
        )
    needed, why = said.approvals, _because(said.asking)
    if s.foreseen or not needed:
        return Gate("rules", "passed", f"none of {len(s.policy.rules)} rules holds this plan back", evidence)
    if s.approved and len(s.grants) >= needed:
        who = ", ".join(grant.person for grant in s.grants)
        return Gate("rules", "passed", f"{why}; approved by {who}", evidence, spends_approval=True)
    reason = f"{why}; needs {needed} approval{'s' if needed > 1 else ''} of this exact plan, has {len(s.grants)}"
    if not s.policy.requires.approvals:
        return Gate(
            "rules", "failed", f"{reason}; this policy does not use approvals", evidence, clears_by="an operator"
        )
    return Gate(
        "rules", "failed", reason, evidence, clears_by="an operator or incident commander other than the requester",
        command=s.approve_command, clears_by_approval=True,
    )  # fmt: skip


def _because(true: Mapping[str, Rule]) -> str:
    return "; ".join(f"{name}: {rule.because}" for name, rule in true.items())


def facts(s: Snapshot) -> dict[str, Any]:
    """What a rule sees: the plan, where it acts, how far it reaches, and what was tried. Plain values."""
    now = datetime.fromtimestamp(s.now, UTC)
    return {
        "action": s.request.action,
        "rung": s.spec.rung if s.spec else None,
        "service": s.request.service,
        "environment": s.request.environment,
        "requester": s.request.requester,
        "undo": s.request.undoes is not None,
        "severity": s.incident.severity if s.incident else None,
        "plan": s.plan.model_dump(mode="json") if s.plan else None,
        "radius": s.radius.as_dict() if s.radius else None,
        "repairs_nearby": list(s.repairs_nearby),
        "contained": s.contained,
        "attempts": [_attempt(s, one) for one in s.lineage],
        "rollbacks": [_attempt(s, one) for one in s.rollbacks],
        "time": {"hour": now.hour, "minute": now.minute, "weekday": now.isoweekday(), "date": f"{now:%Y-%m-%d}"},
    }


def _attempt(s: Snapshot, one: Attempt) -> dict[str, Any]:
    minutes = (s.now - one.started_at) / 60
    return {
        "action": one.action,
        "rung": one.rung,
        "service": one.service,
        "outcome": one.outcome,
        "minutes_ago": minutes,
    }
