"""What every effect gives: a plan without side effects, the act, and whether it happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Change:
    """What an effect would change: the resolved target, its state before and after, and how to undo it.

    `before` holds only what identifies the state; gauges and ages stand in `evidence`, for they move by themselves.
    """

    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    undo: list[dict[str, Any]] = field(default_factory=list)
    undo_note: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    busy: str | None = None
    capacity: float | None = None
    diff: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def _by_state(old: Change, now: Change) -> bool | None:
    """Done where the predicted state is there, not done where the old one is, unknown otherwise."""
    return True if now.before == old.after else False if now.before == old.before else None


@dataclass(frozen=True)
class Effect:
    """`act` raises StateMoved where the state is no longer the plan's, EffectFailed where the platform refuses."""

    plan: Callable[[Mapping[str, Any]], Change]
    act: Callable[[Mapping[str, Any], Change], dict[str, Any]]
    happened: Callable[[Change, Change], bool | None] = _by_state
