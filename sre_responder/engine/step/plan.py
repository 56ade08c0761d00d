"""What a step would change, whose target that is, and the plan that gates judge and people approve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sre_responder import __version__, undo
from sre_responder.effects import Change
from sre_responder.engine.step.call import Step
from sre_responder.errors import NotApplicable, ResponderError
from sre_responder.extensions import versions
from sre_responder.guard.decide import Decision
from sre_responder.home import Home
from sre_responder.ledger import audit, left_as_bad, plans
from sre_responder.model.actions import ActionSpec
from sre_responder.model.plan import Plan, hide_secrets
from sre_responder.model.request import Request
from sre_responder.system.deadline import DeadlinePassed, deadline


def planned(step: Step) -> Step:
    """The step with its change and plan; without a plan, and with the sentence that says why among its problems, where there is none.

    A change without a plan is that of another's target. NotApplicable where the effect is no remedy for what the platform shows.
    """
    spec = step.spec
    if step.request.problems or spec is None:
        return step
    seconds, wrong = step.home.policy.deadlines.plan_seconds, None
    try:
        with deadline(seconds):
            change = step.effect.plan()
            versions(
                step.home.policy.extensions
            )  # what is missing of them is bad input, as all else that keeps a plan from being made
            wrong = misnamed(step.home, step.request, spec, step.arguments, partial(step.effect.same, change))
    except NotApplicable:
        raise
    except ResponderError as error:
        return without_plan(step, str(error))
    except DeadlinePassed:
        words = f"planning took longer than {seconds:g} s: the target answers too slowly, or not at all"
        return without_plan(step, words)
    if wrong:
        return without_plan(replace(step, change=change), wrong)
    plan = plan_of(step, spec, change)
    with step.ledger.transaction(reading=True) as connection:
        said = left_as_bad.warnings(connection, plan)
    return replace(step, change=change, plan=plan.warned(said))


def without_plan(step: Step, problem: str) -> Step:
    """The step with one more problem."""
    return replace(step, request=replace(step.request, problems=(*step.request.problems, problem)))


def misnamed(
    home: Home, request: Request | Plan, spec: ActionSpec, arguments: Mapping[str, Any], same: Callable[[Mapping[str, str]], bool]
) -> str | None:  # fmt: skip
    """Why this target may not be changed under the name of this environment: it is judged by the strictest that reaches it."""
    if not spec.locates and not spec.on_host:
        return None
    told = {spec.annotations[option]: str(arguments[option]) for option in spec.locates if arguments.get(option)}
    other = home.catalogue.stricter(request.service, request.environment, same, told)
    if other is None:
        return None
    own = ", ".join(f"{request.environment}.{spec.annotations[option]}" for option in spec.locates)
    return (
        f"what {request.action} would change as {request.service} in {request.environment} is, or may be, that of {other}, and one "
        f"target has one set of limits, the strictest: act for {other}, or give each environment its own "
        f"{', or its own '.join(filter(None, ('responder/hosts' if spec.on_host else '', own)))} in the catalogue"
    )


def plan_of(step: Step, spec: ActionSpec, change: Change) -> Plan:
    """A change as the plan that gates judge and people approve."""
    home, request, runbook = step.home, step.request, step.runbook
    extended = {"extensions": found} if (found := versions(home.policy.extensions)) else {}
    judged = {"objectives": asked} if (asked := _objectives(step)) else {}
    return Plan(
        incident=request.incident,
        runbook=runbook.metadata.id if runbook else "none",
        runbook_digest=runbook.digest if runbook else "none",
        action=spec.name,
        arguments=hide_secrets(step.arguments, spec.secrets, home.secret if spec.secrets else b""),
        service=request.service,
        environment=request.environment,
        if_worse=step.if_worse,
        **{
            **vars(change),
            "basis": {"library": __version__, "limits": home.policy.limits, **extended, **judged, **change.basis},
        },
    )


def _objectives(step: Step) -> list[Any]:
    """What the criterion names outside the runbook, whose digest does not cover it."""
    if step.runbook is None:
        return []
    place = step.home.place(step.request.service, step.request.environment)
    return [asks for look in step.runbook.metadata.success.looks if (asks := look.judged_by(place)) is not None]


def previewed(step: Step, decision: Decision) -> dict[str, Any]:
    """A dry run leaves its plan on the record, so that people may approve it before it is needed; it counts as nothing."""
    request, plan = step.request, step.plan
    with step.ledger.transaction() as connection:
        now = step.ledger.now(connection)
        if plan:
            text = undo.playbook(plan, request.host)
            plans.save(connection, now, plan, request.incident, decision.gates, request.requester, text, False)
        audit.append(
            connection, now, "plan.made", request.requester, f"{request.action} previewed", incident=request.incident, action=request.action,
            run=request.run, step=request.step, plan=plan.digest if plan else None, gates=[gate.as_dict() for gate in decision.gates],
            warnings=plan.warnings if plan else [],
        )  # fmt: skip
    return {**step.described, "outcome": None, "guard": decision.as_dict()}
