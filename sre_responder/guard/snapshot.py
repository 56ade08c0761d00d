"""What the gates see: one frozen picture of request, plan, policy and ledger, and the verdict that each gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sre_responder.home.graph import Radius
from sre_responder.home.policy import Policy, SeverityLimits, strictest
from sre_responder.incident.outage import Outage
from sre_responder.ledger.clock import Jump
from sre_responder.model.actions import ActionSpec
from sre_responder.model.facts import (
    CLOCK_SLACK_SECONDS,
    Acted,
    Approval,
    Attempt,
    Holder,
    Incident,
    RunbookFacts,
    StopFact,
)
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request


@dataclass(frozen=True)
class Snapshot:
    """Everything the gates may look at. They look at nothing else."""

    now: float
    policy: Policy
    request: Request
    spec: ActionSpec | None
    plan: Plan | None
    symptom: str
    stops: tuple[StopFact, ...] = ()
    incident: Incident | None = None
    severities: tuple[str, ...] = ()
    """Of other incidents under which this symptom was acted on since it was healthy: a lower one loosens nothing."""
    runbook: RunbookFacts | None = None
    attempts: tuple[Attempt, ...] = ()
    """Attempts for this symptom since it was last measured healthy, oldest first."""
    incident_attempts: tuple[Attempt, ...] = ()
    rollbacks: tuple[Attempt, ...] = ()
    """The latest rollbacks in this environment, oldest first."""
    ahead: float = 0.0
    """By how many seconds the ledger's last entry is dated ahead of the clock: so long no approval gets older."""
    jumps: tuple[Jump, ...] = ()
    """By how much the clock jumped, the newest first: that time did not pass."""
    resets: Mapping[str, float] = field(default_factory=dict)
    """Locked-out remedy to when a person last allowed one trial."""
    not_applicable: frozenset[str] = frozenset()
    skipped_as_tried: frozenset[str] = frozenset()
    """Steps that this run left out because an earlier attempt at the same target had not helped."""
    approvals: tuple[Approval, ...] = ()
    drift: tuple[tuple[str, Any, Any], ...] = ()
    """Where this plan differs from one that was approved: place, approved value, value now."""
    foreseen: str = ""
    """Of an undo: the reason for it that the plan which it undoes has named, where that has come."""
    measured: bool = True
    proven: str | None = None
    attested: str | None = None
    scope_identified: bool = False
    contained: bool = False
    radius: Radius | None = None
    repairs_nearby: tuple[str, ...] = ()
    outage: Outage = field(default_factory=Outage)
    holder: Holder | None = None
    frozen: int | None = None
    """The attempt whose unknown outcome freezes this target."""
    acted: tuple[Acted, ...] = ()
    """The hosts that this task has come to in this run."""
    halted: str | None = None
    """Why this run was ended, where a refusal was ignored."""

    @property
    def waits_for_host(self) -> bool:
        """Whether this host's turn has not come: another one of this attempt is not done yet."""
        return all(one.host != self.request.host for one in self.acted) and any(
            one.state == "intended" for one in self.acted
        )

    @property
    def production(self) -> bool:
        return self.request.environment == "production"

    @property
    def limits(self) -> SeverityLimits | None:
        """The limits of the incident's severity, and of a worse one under which this symptom was acted on: the stricter."""
        known = {str(name): limits for name, limits in self.policy.severities.items()}
        if not self.worst or self.worst[0] not in known:
            return None
        return strictest([known[name] for name in self.worst if name in known])

    @property
    def worst(self) -> tuple[str, ...]:
        """The incident's severity, then every worse one under which this symptom was acted on (SEV1 is the worst)."""
        severity = self.incident.severity if self.incident else None
        return (severity, *(name for name in self.severities if name < severity)) if severity else ()

    @property
    def lineage(self) -> tuple[Attempt, ...]:
        """Attempts of this incident or for this symptom: a new incident number does not reset a count."""
        both = {attempt.id: attempt for attempt in (*self.attempts, *self.incident_attempts)}
        return tuple(sorted(both.values(), key=lambda attempt: attempt.id))

    @property
    def remediation(self) -> bool:
        return self.spec is not None and not self.spec.containment

    @property
    def grants(self) -> tuple[Approval, ...]:
        """Approvals that hold now: a grant by each person once, not used, not expired; one denial voids all.

        None holds while nobody can tell how old it is.
        """
        latest = self.now + CLOCK_SLACK_SECONDS
        usable = [a for a in self.approvals if not a.used and a.expires_at > self.now and a.signed_at <= latest]
        denied = any(a.decision == "deny" for a in usable)
        return (
            ()
            if denied or self.ahead > CLOCK_SLACK_SECONDS
            else tuple({a.person: a for a in usable if a.decision == "grant"}.values())
        )

    @property
    def approvals_needed(self) -> int:
        """How many people must approve: what severity and action ask for, the larger."""
        policy, needed = self.policy.approvals, {str(name): n for name, n in self.policy.approvals.needed.items()}
        by_severity = max((needed.get(name, 1) for name in self.worst), default=1)
        return max(1, by_severity, policy.needed_for.get(self.request.action, 1))

    @property
    def commander_missing(self) -> bool:
        """Whether this rung asks for an incident commander among the approvers, and none is."""
        asked = self.spec is not None and self.spec.rung in self.policy.approvals.commander_rungs
        return asked and not any("incident_commander" in grant.roles for grant in self.grants)

    @property
    def approved(self) -> bool:
        return len(self.grants) >= self.approvals_needed and not self.commander_missing

    @property
    def approve_command(self) -> str | None:
        return f"responder approve {self.plan.short}" if self.plan else None
