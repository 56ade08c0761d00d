"""One guarded step from evidence to outcome: the only way in which anything is changed (design: the way of one mutation)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sre_responder import undo
from sre_responder.engine.health import Health
from sre_responder.engine.step import canary
from sre_responder.engine.step.act import acted, unknown
from sre_responder.engine.step.call import Effect, Step
from sre_responder.engine.step.confirm import confirmed, decided, refusal
from sre_responder.engine.step.plan import planned, previewed, without_plan
from sre_responder.engine.step.settle import concluded, settled
from sre_responder.engine.step.skip import skipped, skipped_as_tried, tried
from sre_responder.engine.step.worse import passed_over
from sre_responder.errors import LedgerUnavailable, NotApplicable
from sre_responder.guard.decide import preview
from sre_responder.ledger import Ledger, attempts
from sre_responder.model.request import Request
from sre_responder.system.deadline import held

UNCHANGED = "Nothing was changed."

__all__ = ["Effect", "Step", "perform"]


def perform(step: Step) -> dict[str, Any]:  # noqa: C901 - the way of one change from top to bottom
    """Take one step of the ladder and give the module's result.

    Raises Refused or Stopped (with `guard` in the details) where a gate said no, EffectFailed where the platform did,
    OutcomeUnknown where nobody can say what happened.
    """
    spec, declared, sound = step.spec, step.declared, not step.request.problems
    if step.runbook is not None and declared and spec is not None and sound:
        if not step.applies:
            return skipped(step, "not_applicable", step.because or "declared not applicable")
        if left_out := step.home.policy.leaves_out(spec.name):
            return skipped(step, "not_applicable", left_out)
        if not step.check and (after := passed_over(step)):
            return skipped(step, *after)
        request, record = step.request, not step.check
        health = Health(
            step.home, step.ledger, step.runbook, request.service, request.environment, record, request.incident
        )
        step = replace(step, health=health)
        if not spec.shields and not _begun(step.ledger, request):
            verdict = health.lately(request.incident, request.run) or health.now()
            step = replace(step, state=verdict.state, measured=spec.containment or verdict.state != "unknown")
            if verdict.state == "healthy":
                facts = health.facts(verdict)
                return skipped(step, "healthy", verdict.reason, measured=verdict.state, sampled=facts)
        if not step.check and not spec.containment:
            canary.owed(step)
    try:
        step = canary.measured(planned(step))
    except NotApplicable as error:
        if declared and sound:
            return skipped(step, "not_applicable", error.message, measured=step.state, refuted=error.message)
        step = without_plan(step, str(error))
    if step.state is not None and (attempt := tried(step)):
        return skipped_as_tried(step, attempt)
    if step.check:
        decision = preview(step.home, step.ledger, step.request, step.plan, step.runbook, measured=step.measured)
        return previewed(step, decision)
    plan = step.plan
    if plan and plan.before == plan.after and (declared or step.request.undoes):
        because = "the target is already in the wanted state"
        already = skipped(step, "not_applicable", because, plan=plan, already=True, measured=step.state)
        return {**already, **step.described, **concluded(step)}
    with held():
        return _guarded(step)


def _guarded(step: Step) -> dict[str, Any]:
    """Decide, act and watch. A task's timeout is held back from what goes on the record; it ends the act and the watch."""
    plan, text = step.plan, ""
    try:
        if plan:
            text = undo.playbook(plan, step.request.host)
            undo.write(step.home.state / "undo", plan, text)
        decision = decided(step, text)
        if not decision.allowed or plan is None or step.change is None or step.spec is None:
            raise refusal(step.ledger, step.request, decision, step.tell)
        confirmed(step, decision)
    except LedgerUnavailable as error:  # before the act, so this is proven
        cure = error.cure.removeprefix(UNCHANGED).strip()
        raise LedgerUnavailable(error.message, cure=f"{UNCHANGED} {cure}".strip(), **error.details) from error
    try:
        return settled(step, decision, acted(step, decision))
    except LedgerUnavailable as error:
        # Not `from error`: its cure is for those who have changed nothing.
        raise unknown(step, f"what it did could not be recorded: {error.message}") from None


def _begun(ledger: Ledger, request: Request) -> bool:
    """Whether this task has already acted on another host: then the remedy is finished on all, healthy meanwhile or not."""
    with ledger.transaction(reading=True) as connection:
        return attempts.of_task(connection, request.run, request.task) is not None
