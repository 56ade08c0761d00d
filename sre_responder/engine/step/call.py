"""One call of a guarded module, and what is found out about it on its way from evidence to outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sre_responder.effects import Change, Propagation
from sre_responder.emergency import stop
from sre_responder.engine.health import Health
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger
from sre_responder.model.actions import ActionSpec
from sre_responder.model.plan import IfWorse, Plan
from sre_responder.model.request import Request

Tell = Callable[[str], None]
"""Where the one JSON line of a blocked action goes."""


class Effect(Protocol):
    """What the step needs of an effect: a plan without side effects, and the act itself."""

    def plan(self) -> Change: ...

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        """Whether annotations of the catalogue may lead to the target of a change."""

    def act(self, change: Change, plan: str) -> dict[str, Any]: ...

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        """Whether the change has reached all that use it, so long after its act ended."""


@dataclass(frozen=True)
class Step:
    """The call in plain values; each part of the way gives it on with what it has found."""

    home: Home
    ledger: Ledger
    request: Request
    arguments: Mapping[str, Any]
    runbook: Runbook | None
    effect: Effect
    check: bool = False
    applies: bool = True
    because: str = ""
    if_worse: IfWorse = "undo"
    tell: Tell = stop.to_stderr

    health: Health | None = None
    """What measures the criterion, where this is a step of a registered runbook."""
    state: str | None = None
    """What the criterion said before; None where it was not asked."""
    measured: bool = True
    change: Change | None = None
    plan: Plan | None = None

    @property
    def spec(self) -> ActionSpec | None:
        return self.home.policy.action(self.request.action)

    @property
    def declared(self) -> bool:
        """Whether this is a step of a registered runbook: what is not is left to the gates, and skips nothing on the record."""
        book = self.runbook
        return book is not None and book.registered and self.request.step in {task.digest for task in book.steps}

    @property
    def described(self) -> dict[str, Any]:
        """What would change, in the words of a module's result."""
        if self.change is None or self.plan is None:
            return {"changed": False, "before": {}, "after": {}, "diff": {}}
        plan = self.plan
        return {"changed": plan.before != plan.after, "before": plan.before, "after": plan.after, "diff": plan.diff}
