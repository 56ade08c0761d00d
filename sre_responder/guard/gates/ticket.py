"""Gate: the incident is open and has a severity (spec section 2)."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 30


def ticket(s: Snapshot) -> Gate:
    incident = s.incident
    if not s.policy.requires.tickets:
        return Gate("ticket", "skipped", "this policy needs no ticket")
    command = (
        f"responder incident open --service {s.request.service} --environment {s.request.environment} --severity SEV3"
        if not s.request.problems
        else None  # its names may be what is wrong, and a command that is typed must hold
    )
    if incident is None:
        return Gate(
            "ticket",
            "failed",
            f"incident {s.request.incident} is not in the ledger",
            clears_by="an operator",
            command=command,
        )
    facts = {"status": incident.status, "severity": incident.severity}
    if incident.status != "open":
        return Gate(
            "ticket", "failed", f"incident {incident.id} is {incident.status}", facts, "an operator", command=command
        )
    if s.limits is None:
        return Gate(
            "ticket", "failed", f"incident {incident.id} has no severity", facts, "an operator", command=command
        )
    if (incident.service, incident.environment) != (s.request.service, s.request.environment):
        reason = f"incident {incident.id} is about {incident.service} in {incident.environment}"
        if s.limits.services == 1 or incident.environment != s.request.environment:
            return Gate("ticket", "failed", reason, facts, "an operator", command=command)
    return Gate("ticket", "passed", f"incident {incident.id} is open at {incident.severity}", facts)
