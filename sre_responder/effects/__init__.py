"""Effects: what changes the world through an API. They know nothing of gates or ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.effects.effect import MODULE_ENDED, Became, Change, Effect, HostProbe, Propagation, by_state
from sre_responder.model.actions import ACTIONS, KUBERNETES
from sre_responder.model.plan import Plan
from sre_responder.registry import Registry

EFFECTS: Mapping[str, Effect] = Registry({name: spec.effect for name, spec in ACTIONS.items() if not spec.on_host})
"""The actions whose effect runs in the controller's process."""
PROBES: Mapping[str, HostProbe] = Registry({name: spec.effect for name, spec in ACTIONS.items() if spec.on_host})
"""The actions whose effect is a module that runs on a host."""


def leads_to(action: str, arguments: Mapping[str, Any], change: Change, way: Mapping[str, str]) -> bool:
    """Whether annotations of the catalogue may lead to the target of a change that runs in the controller's process."""
    spec = ACTIONS[action]
    keys = (
        KUBERNETES if spec.platform == "kubernetes" else {option: spec.annotations[option] for option in spec.locates}
    )
    other = {option: way[key] for option, key in keys.items() if key in way}
    reached = {option: way[key] for option in spec.reaches if (key := spec.annotations.get(option, "")) in way}
    return bool(other) and EFFECTS[action].same(change, arguments, {**reached, **other})


def change_of(plan: Plan) -> Change:
    """What a plan holds of its effect's own change."""
    return Change(**{name: getattr(plan, name) for name in Change.__dataclass_fields__})


def restored(plan: Plan, now: Mapping[str, Any]) -> bool:
    """Whether what a plan did is undone, by its effect's own rule."""
    effect = EFFECTS.get(plan.action)
    return effect.restored(change_of(plan), now) if effect else now == plan.before


__all__ = [
    "EFFECTS", "MODULE_ENDED", "PROBES", "Became", "Change", "Effect", "HostProbe", "Propagation", "by_state", "change_of", "leads_to", "restored",
]  # fmt: skip
