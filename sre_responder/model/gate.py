"""One gate's verdict on one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "unknown", "skipped"]


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
