"""What was observed goes on the record; after the last host the evidence is watched, and gives the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sre_responder import undo
from sre_responder.emergency import cascade, stop
from sre_responder.engine.health import Health
from sre_responder.engine.step import canary
from sre_responder.engine.step.act import overtaken, unknown
from sre_responder.engine.step.call import Step
from sre_responder.engine.step.propagate import Reached, reached
from sre_responder.engine.step.worse import undone
from sre_responder.errors import OutcomeUnknown, ResponderError
from sre_responder.evidence.verdict import Verdict
from sre_responder.guard.decide import Decision
from sre_responder.incident import escalation
from sre_responder.ledger import attempts, audit, plans, runs
from sre_responder.model.facts import StopFact
from sre_responder.system.deadline import released

CONTAINED = Verdict("improved", "read back from the platform: the state is the wanted one", ())


def settled(step: Step, decision: Decision, observed: dict[str, Any]) -> dict[str, Any]:
    """Record what was observed; after the last host watch the evidence; give the result."""
    if became := recorded(step, decision, observed):
        raise unknown(step, f"it was done, and {became}; what was observed is on the record")
    result = {**step.described, "changed": True, "after": observed, "guard": decision.as_dict()}
    return {**result, **concluded(step, result)}


def recorded(step: Step, decision: Decision, observed: dict[str, Any]) -> str | None:
    """Put what was observed on the record; gives why the intent cannot end any more, which is recorded instead."""
    request, plan, effect = step.request, step.plan, decision.effect
    assert plan is not None and effect is not None and decision.attempt is not None
    with step.ledger.transaction() as connection:
        now = step.ledger.now(connection)
        if not attempts.end_effect(connection, now, effect, "done", observed=observed):
            type, became = overtaken(connection, effect)
            audit.append(
                connection, now, f"effect.{type}", request.requester, f"{request.action} on {plan.target} was done; attempt {decision.attempt} {became}",
                incident=request.incident, notify="incident_commander", plan=plan.digest, host=request.host, observed=observed,
                before=plan.before, undo=undo.playbook(plan, request.host),
            )  # fmt: skip
            return f"its attempt {became}"
        if attempts.complete(connection, request) is None:
            attempts.hold_by_run(connection, request.run, effect)
        audit.append(
            connection, now, "effect.done", request.requester, f"{request.action} on {plan.target} done", incident=request.incident,
            attempt=decision.attempt, host=request.host, observed=observed,
        )  # fmt: skip
        plans.waits_no_longer(connection, plan.digest)
    return None


def concluded(step: Step, result: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The outcome of the attempt once every host of the task was dealt with, and whether it was undone for it.

    The outcome is None before that, and where there is no attempt.
    """
    request, health, spec = step.request, step.health, step.spec
    with step.ledger.transaction(reading=True) as connection:
        attempt = attempts.complete(connection, request)
    if attempt is None:
        return {"outcome": None}
    if health is None or spec is None or spec.containment:
        verdict, spread = CONTAINED, None
    else:
        verdict, spread = _watched(step, health, attempt)
    outcome, reason = verdict.state if verdict.state in ("improved", "not_improved") else "unknown", verdict.reason
    if outcome == "unknown" and not step.home.policy.requires.measured_criterion:
        outcome, reason = "not_improved", f"not measured, noted: {reason}"
    sampled = (health.facts(verdict) if health else None) or {}
    if spread:
        sampled = {**sampled, "propagated": spread.facts}
    with step.ledger.transaction() as connection:
        now = step.ledger.now(connection)
        attempts.end_attempt(connection, now, attempt, outcome, reason, request.requester, sampled)
        cascade.check(connection, now, step.home, request.environment)
        escalation.catch_up(connection, now, step.home, request.incident)
        if outcome == "unknown":
            attempts.freeze(connection, now, attempt, reason)
    back = not stops(step) and undone(step, attempt, verdict)
    if outcome == "unknown":
        with step.ledger.transaction() as connection:  # not before: a run that is halted is ended in a few seconds
            runs.halt(
                connection, step.ledger.now(connection), request.run, f"the outcome of {request.action} is unknown"
            )
        raise OutcomeUnknown(
            f"{request.action} ran and its outcome is unknown: {reason}{'; it was undone' if back else ''}.",
            cure="See `responder status`.",
            **{**(result or {}), "outcome": outcome, "undone": back},
        )
    return {"outcome": outcome, "undone": back}


def _watched(step: Step, health: Health, attempt: int) -> tuple[Verdict, Reached | None]:
    """What criterion and canary say once the act has reached all that use it, and when that was; unknown if it did not, or if the task's
    own timeout cuts the watch off."""
    change, spread, limit = step.change, None, step.home.policy.deadlines.propagate_seconds

    def interrupted() -> bool:
        return bool(stops(step))

    try:
        with released():
            if change is not None:
                spread = reached(partial(step.effect.propagated, change), limit, interrupted)
            if spread and not spread.done:
                words = f"the change had not reached all that use it after {spread.after_s:.0f} s: {spread.how}"
                return Verdict("unknown", words, ()), spread
            return canary.after(step, attempt, health.after(interrupted), interrupted), spread
    except (ResponderError, KeyboardInterrupt):
        raise
    except BaseException as error:
        return Verdict("unknown", f"watching was cut off ({type(error).__name__}: {error})", ()), spread


def stops(step: Step) -> tuple[StopFact, ...]:
    """What covers this step now."""
    with step.ledger.transaction(reading=True) as connection:
        now, file, request = step.ledger.now(connection), step.home.policy.stop.file, step.request
        return stop.standing(
            connection, now, file, environment=request.environment, service=request.service, record=False
        )
