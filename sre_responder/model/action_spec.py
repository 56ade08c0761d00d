"""What the guard must know of an action; the effect itself stands in `effects/`, or in a module that runs on a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Rung = Literal[0, 1, 2, 3, 4]  # 0 is containment: it comes before the ladder


@dataclass(frozen=True)
class ActionSpec:
    """One action of the allowlist."""

    name: str
    rung: Rung
    platform: str
    undoable: bool
    on_host: bool = False
    effect: str = ""
    """Where its effect stands, MODULE:OBJECT; it is loaded when it is first used."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Options that the catalogue's annotations fill where the task leaves them out: option to annotation."""
    locates: tuple[str, ...] = ()
    """Those of them that say which target it is; the others say how it is changed."""
    options: tuple[str, ...] = ()
    """The names of all its options, but for those that every guarded module has."""
    reaches: tuple[str, ...] = ()
    """Options beside them without which its platform cannot be asked, such as a login."""
    compares: tuple[str, ...] = ()
    """Annotations beyond those that lead to what else an action on a host may change with its target."""
    needs: tuple[str, ...] = ()
    """Options without which it cannot be taken."""
    minutes: str = ""
    """The option that says for how long it lasts: containment that only makes room for a remedy. It is not taken where the
    service is healthy, does not count as contained first, and its plan says when it is undone."""
    limit_s: float | None = None
    """How long its act may take, where the policy says that of this very action."""
    secrets: frozenset[str] = frozenset()
    """Options marked no_log: they enter the plan's digest as a keyed hash and never the record."""

    @property
    def containment(self) -> bool:
        return self.rung == 0

    @property
    def shields(self) -> bool:
        """Whether it keeps harm from users: containment that only makes room for a remedy does not."""
        return self.containment and not self.minutes

    @property
    def rollback(self) -> bool:
        return self.rung == 3
