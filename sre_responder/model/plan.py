"""What is about to happen, and its digest: the thing that people approve."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes (as RFC 8785 for the values used here)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


COVERED = {
    "incident",
    "runbook_digest",
    "action",
    "arguments",
    "service",
    "environment",
    "target",
    "before",
    "after",
    "basis",
    "if_worse",
}
"""What an approval is for; anything of it that changes voids the approval. `after` is among it because `to: previous` may come
to mean another version."""


IfWorse = Literal["undo", "rollback", "hand_over"]
"""What follows if things are no better afterwards: an undo where there is one, a rollback at once, or a person."""


@dataclass(frozen=True)
class Wait:
    """Why a target cannot be changed yet, though nobody holds it: it is still settling, or it may not lose anything now."""

    reason: str
    until: str | None = None
    """When that ends by itself, if that is known."""


class Plan(BaseModel):
    """One action on one target, with its before-state, predicted after-state and undo."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    incident: str
    runbook: str
    runbook_digest: str
    action: str
    arguments: dict[str, Any]
    service: str
    environment: str
    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    basis: dict[str, Any] = {}
    """What it was judged by: the library's version and the policy's limits. Another judge, another plan."""
    if_worse: IfWorse = "undo"
    undo: list[dict[str, Any]] = []
    undo_note: str = ""
    diff: dict[str, Any] = {}
    evidence: dict[str, Any] = {}
    busy: str | None = None
    wait: Wait | None = None
    capacity: float | None = None
    overwrites: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over incident, runbook, action, arguments, resolved target, states before and after, and basis (spec section 4)."""
        return hashlib.sha256(canonical(self.model_dump(include=COVERED)).encode()).hexdigest()

    @property
    def warnings(self) -> list[str]:
        """What whoever decides about it should know, and no gate judges."""
        return [*self.evidence.get("warnings", ())]

    def warned(self, more: Iterable[str]) -> Plan:
        """The same plan with more warnings; they are no part of its digest."""
        said = [*self.warnings, *more]
        return self.model_copy(update={"evidence": {**self.evidence, "warnings": said}}) if said else self

    @property
    def short(self) -> str:
        """The twelve characters that people type."""
        return self.digest[:12]


def drift(approved: Plan, now: Plan) -> list[tuple[str, Any, Any]]:
    """Each covered value that differs: its place, what it was when it was approved, what it is now."""
    return list(_differences("", approved.model_dump(include=COVERED), now.model_dump(include=COVERED)))


def _differences(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _differences(f"{place}.{name}".lstrip("."), old.get(name), new.get(name))
    elif old != new:
        yield place, old, new


def hide_secrets(arguments: Mapping[str, Any], secrets: frozenset[str], key: bytes) -> dict[str, Any]:
    """Arguments for plan and record: a secret is replaced by a keyed hash, so that a change of it voids the plan."""
    return {
        name: f"hmac-sha256:{hmac.new(key, canonical(value).encode(), 'sha256').hexdigest()}"
        if name in secrets
        else value
        for name, value in arguments.items()
    }
