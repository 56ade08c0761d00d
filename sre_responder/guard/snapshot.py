"""What the gates see: one frozen picture of request, plan, policy and ledger, and the verdict that each gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sre_responder.actions import ActionSpec
from sre_responder.catalogue import Radius
from sre_responder.ledger.clock import Jump
from sre_responder.plan import Plan
from sre_responder.policy import Policy, SeverityLimits, strictest

CLOCK_SLACK_SECONDS = 60
"""How far the clock of the person who signs may be ahead."""
Status = Literal["passed", "failed", "unknown", "skipped"]
Outcome = Literal["improved", "not_improved", "unknown"]


@dataclass(frozen=True)
class Gate:
    """One gate's verdict. Unknown blocks as failed does."""

    name: str
    status: Status
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    clears_by: str | None = None
    clears_at: str | None = None
    command: str | None = None
    spends_approval: bool = False
    """Passed because people approved this plan: that approval is used up by it."""
    clears_by_approval: bool = False
    """Refused, and people who approve this plan clear it."""

    @property
    def blocks(self) -> bool:
        return self.status in ("failed", "unknown")

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Request:
    """Who asks for what, in plain values; `problems` is what is wrong with the names and arguments given."""

    action: str
    incident: str
    service: str
    environment: str
    confirm_production: bool
    run: str
    task: str
    step: str
    host: str
    hosts: tuple[str, ...]
    requester: str
    problems: tuple[str, ...] = ()
    undoes: int | None = None
    """The attempt whose before-state this restores: the step back that was declared with the step."""


@dataclass(frozen=True)
class Incident:
    id: str
    service: str
    environment: str
    severity: str | None
    status: str


@dataclass(frozen=True)
class Step:
    """A guarded task declared in the runbook."""

    digest: str
    action: str
    rung: int
    name: str
    does: str = ""
    """The digest of what it does, whatever it is called: a step that is written twice is tried once."""


@dataclass(frozen=True)
class RunbookFacts:
    id: str
    digest: str
    registered: bool
    failure_class: str
    contain_first: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Attempt:
    """One attempt as the ledger holds it; `outcome` is None while it runs or when its process died."""

    id: int
    incident: str
    symptom: str
    service: str
    action: str
    rung: int
    automatic: bool
    started_at: float
    outcome: str | None
    targets: tuple[str, ...] = ()
    """What it acted on; none where that is not known, which may be anything."""
    step: str = ""
    """The declared step that made it; empty for an attempt of an older ledger."""

    def acted_on(self, target: str | None) -> bool:
        """Whether it may have acted on that target; what is not known counts."""
        return target is None or not self.targets or target in self.targets


@dataclass(frozen=True)
class Approval:
    """A decision of a person about this plan whose signature was verified, with the person's roles."""

    id: int
    person: str
    roles: tuple[str, ...]
    decision: Literal["grant", "deny"]
    signed_at: float
    expires_at: float
    used: bool


@dataclass(frozen=True)
class Holder:
    """Whoever holds the target now."""

    attempt: int
    run: str
    who: str
    taken_at: float
    expires_at: float


@dataclass(frozen=True)
class StopFact:
    """One standing stop, or a source of stops that cannot be read."""

    id: str
    holder: str
    reason: str
    scope: str
    raised_at: float | None

    @property
    def cleared_with(self) -> str:
        """The command to type. A stop file that is in no ledger, or cannot be read, is no stop that can be lifted: doctor names it."""
        return "responder doctor" if self.id == "file" else f"responder lift {self.id}"


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
    over: bool = False
    """Of an undo: whether the time is over that the plan which it undoes has named."""
    measured: bool = True
    proven: str | None = None
    attested: str | None = None
    scope_identified: bool = False
    contained: bool = False
    radius: Radius | None = None
    repairs_nearby: tuple[str, ...] = ()
    holder: Holder | None = None
    frozen: int | None = None
    """The attempt whose unknown outcome freezes this target."""
    halted: str | None = None
    """Why this run was ended, where a refusal was ignored."""

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
