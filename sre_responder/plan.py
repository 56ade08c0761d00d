"""What is about to happen, and its digest: the thing that people approve."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes (as RFC 8785 for the values used here)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class Plan(BaseModel):
    """One action on one target, with its before-state, predicted after-state and undo."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runbook: str
    runbook_digest: str
    action: str
    arguments: dict[str, Any]
    service: str
    environment: str
    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    undo: list[dict[str, Any]] = []
    undo_note: str = ""
    diff: dict[str, Any] = {}
    evidence: dict[str, Any] = {}
    busy: str | None = None
    capacity: float | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over runbook, action, arguments, resolved target and before-state (spec section 4)."""
        covered = self.model_dump(
            include={"runbook_digest", "action", "arguments", "service", "environment", "target", "before"}
        )
        return hashlib.sha256(canonical(covered).encode()).hexdigest()

    @property
    def short(self) -> str:
        """The twelve characters that people type."""
        return self.digest[:12]


def hide_secrets(arguments: Mapping[str, Any], secrets: frozenset[str], key: bytes) -> dict[str, Any]:
    """Arguments for plan and record: a secret is replaced by a keyed hash, so that a change of it voids the plan."""
    return {
        name: f"hmac-sha256:{hmac.new(key, canonical(value).encode(), 'sha256').hexdigest()}"
        if name in secrets
        else value
        for name, value in arguments.items()
    }
