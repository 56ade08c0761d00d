"""What ledger and runbook say, as the gates see it: incident, steps, attempts, approvals, who holds a target, stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CLOCK_SLACK_SECONDS = 60
"""How far the clock of the person who signs may be ahead."""
Outcome = Literal["improved", "not_improved", "unknown"]


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

    def acted_on(self, target: str) -> bool:
        """Whether it may have acted on that target; where its own are not known, it may."""
        return not self.targets or target in self.targets


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
class Acted:
    """What became of one host that this task has come to in this run."""

    host: str
    target: str
    state: str
    reason: str


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
