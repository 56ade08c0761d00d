"""What the world says now of a plan's target: read-only, through the platform's API or over the inventory."""

from __future__ import annotations

from typing import Any

from sre_responder.drive.ask import ask
from sre_responder.effects import EFFECTS, PROBES, Became, HostProbe, change_of, perform
from sre_responder.home import Home
from sre_responder.model.actions import ACTIONS
from sre_responder.model.plan import Plan


def state(home: Home, plan: Plan, host: str) -> dict[str, Any]:
    """The state now, in the words of the plan's `before`. InputError or EffectFailed where it cannot be read."""
    if plan.action in EFFECTS:
        return EFFECTS[plan.action].read({**plan.arguments, **_secrets(home, plan), "_target": plan.target})
    probe = _probe(plan)
    become = plan.basis.get("become", {})
    answer = ask(host, probe.module, probe.arguments(plan.arguments), home, check=probe.check_mode, become=become)
    return probe.understand(plan.arguments, answer)


def _probe(plan: Plan) -> HostProbe:
    """That of an action of ours, else of the module that `perform` ran."""
    if plan.action in PROBES:
        return PROBES[plan.action]
    return perform.probe(plan.action, hidden=bool(plan.basis["hidden"]))


def _secrets(home: Home, plan: Plan) -> dict[str, Any]:
    """The secrets that the plan's action needs, which no plan holds; those of the service's connection as it is now."""
    spec = ACTIONS[plan.action]
    if not spec.secrets:
        return {}
    login = home.connections.login(spec, home.catalogue.service(plan.service).reached(plan.environment))
    return {option: value for option, value in login.items() if option in spec.secrets}


def gone(home: Home, plan: Plan, host: str) -> str | None:
    """What an undo would restore and is there no more; None where all of it is there, or the platform itself says so."""
    if plan.action in EFFECTS:
        return None
    path = _probe(plan).needs(plan.arguments, plan.before)
    return None if not path or ask(host, "ansible.builtin.stat", {"path": path}, home)["stat"]["exists"] else path


def became(plan: Plan, now: dict[str, Any]) -> Became | None:
    """What became of the planned change, from the state now; None where that cannot tell."""
    effect = EFFECTS.get(plan.action) or _probe(plan)
    return effect.became(change_of(plan), now)
