"""Gate: one service at a time, what it depends on first, and nothing downstream broken by what was done (spec section 5)."""

from __future__ import annotations

from dataclasses import replace

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate, Status

PLACE = 105


def order(s: Snapshot) -> Gate:
    if not s.remediation or s.request.undoes is not None:
        return Gate("order", "passed", "not a remediation: containment and undo wait for no other service")
    outage, service = s.outage, s.request.service
    now = s.plan.evidence.get("downstream", {}) if s.plan else {}
    # Who depends on this service fails with it: only what was broken by an action that helped, or beside this service, counts.
    counts = (set(outage.before) - set(outage.downstream)) | set(outage.broke)
    was_healthy = {name for name in counts if outage.before.get(name) == "healthy"}
    broken = sorted(name for name in was_healthy if now.get(name) == "unhealthy")
    unknown = sorted(name for name in was_healthy & set(now) if now[name] not in ("healthy", "unhealthy"))
    unmeasured = sorted(name for name, state in now.items() if state not in ("healthy", "unhealthy"))
    evidence = {
        "services": list(outage.services), "failing": list(outage.failing), "first": list(outage.first),
        "cycle": list(outage.cycle), "downstream": now,
    }  # fmt: skip
    if outage.at_work:
        reason = f"{', '.join(outage.at_work)} is being changed in this outage: one service at a time"
        return Gate("order", "failed", reason, evidence, clears_by="the end of that action", command="responder status")
    problems = []
    if outage.first:
        problems.append(f"{service} depends on {', '.join(outage.first)}, not healed yet: heal that first")
    if outage.last is not None and not outage.proven:
        problems.append(
            f"{outage.last.service}, acted on before this (attempt {outage.last.id}), has not been proven stable for "
            f"{s.policy.order.canary_seconds:g} s"
        )
    if broken:
        problems.append(f"healthy before this outage's first action and unhealthy now: {', '.join(broken)}")
    if unknown:
        problems.append(f"healthy before this outage's first action and not measurable now: {', '.join(unknown)}")
    if problems:
        status: Status = "unknown" if unknown and len(problems) == 1 else "failed"
        return _refusal(s, Gate("order", status, "; ".join(problems), evidence))
    said = ["no other service comes before it"]
    if outage.cycle:
        said.append(f"in a dependency cycle with {', '.join(outage.cycle)}, which counts as one")
    if unmeasured:
        said.append(f"not measurable downstream: {', '.join(unmeasured)}")
    return Gate("order", "passed", "; ".join(said), evidence)


def _refusal(s: Snapshot, gate: Gate) -> Gate:
    """A person may decide that this service comes first all the same."""
    if s.approved:
        reason = f"{gate.reason}; this one a person approved"
        return replace(gate, status="passed", reason=reason, spends_approval=True)
    if not s.policy.requires.approvals:
        reason, cure = f"{gate.reason}; this policy does not use approvals", "or you: repair it by hand"
        return replace(
            gate, reason=reason, clears_by=f"those services measured healthy, {cure}", command="responder status"
        )
    cleared = "those services measured healthy, or an approver"
    return replace(gate, clears_by=cleared, command=s.approve_command, clears_by_approval=True)
