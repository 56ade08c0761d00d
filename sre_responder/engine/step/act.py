"""The act itself, and what is recorded where it does not succeed: the target tells whether anything was changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from sre_responder.emergency import cascade
from sre_responder.engine.step.call import Step
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused, ResponderError, StateMoved
from sre_responder.guard.decide import Decision
from sre_responder.incident import escalation
from sre_responder.ledger import attempts, audit, runs
from sre_responder.model.actions import ActionSpec
from sre_responder.system.deadline import DeadlinePassed, deadline, released


def acted(step: Step, decision: Decision) -> dict[str, Any]:
    """Run the effect, and give what it observed."""
    spec, change, plan, begun = step.spec, step.change, step.plan, False
    assert spec is not None and change is not None and plan is not None
    try:
        with released(), deadline(_limit(step, spec)):
            begun = True
            return step.effect.act(change, plan.digest)
    except OutcomeUnknown as error:
        reason = str(error)
    except StateMoved as error:
        ended(step, decision, "not_done", error.message, outcome="not_done")
        raise
    except ResponderError as error:
        if _untouched(step):
            refused = isinstance(error, Refused)  # by the platform's own guard
            state, outcome = ("not_done", "not_done") if refused else ("failed", "not_improved")
            ended(step, decision, state, error.message, outcome=outcome)
            if isinstance(error, InputError):  # what was asked for was accepted before: this is the platform's answer
                raise EffectFailed(error.message, cure=error.cure, **error.details) from error
            raise
        reason = str(error)
    except BaseException as error:  # a timeout of the task is one: nobody knows how far it came
        reason = f"{type(error).__name__}: {error}".removeprefix("DeadlinePassed: ")
        if not begun:
            ended(step, decision, "not_done", reason, outcome="not_done")
            raise
    ended(step, decision, "unknown", reason, outcome="unknown")
    raise unknown(step, reason)


def _limit(step: Step, spec: ActionSpec) -> float | None:
    """How long an act may take: a rollback has its own deadline, all else what the task waits for and some time beside."""
    if step.request.undoes is not None:
        return None
    return step.home.policy.act_limit(spec, step.arguments.get("timeout_s"))


def _untouched(step: Step) -> bool:
    """Whether the target is as it was before the act. What cannot be read is not called untouched."""
    assert step.change is not None
    try:
        with released(), deadline(step.home.policy.deadlines.plan_seconds):
            return step.effect.plan().before == step.change.before
    except (Exception, DeadlinePassed):
        return False


def unknown(step: Step, reason: str) -> OutcomeUnknown:
    """The error of an act after which nobody can say what happened."""
    assert step.plan is not None
    return OutcomeUnknown(
        f"{step.request.action} ran and its outcome is unknown: {reason}.",
        cure=f"responder settle '{step.plan.target}'",
    )


def ended(step: Step, decision: Decision, state: str, reason: str, *, outcome: str) -> None:
    """Record an end without success, and latch the run."""
    request = step.request
    assert decision.effect is not None and decision.attempt is not None
    with step.ledger.transaction() as connection:
        now = step.ledger.now(connection)
        if attempts.end_effect(connection, now, decision.effect, state, reason=reason):
            attempts.end_attempt(connection, now, decision.attempt, outcome, reason, request.requester)
            cascade.check(connection, now, step.home, request.environment)
            escalation.catch_up(connection, now, step.home, request.incident)
        else:
            type, became = overtaken(connection, decision.effect)
            audit.append(
                connection, now, f"attempt.{type}", request.requester, f"attempt {decision.attempt} {became}: {reason}",
                incident=request.incident, notify="incident_commander", action=request.action, state=state,
            )  # fmt: skip
        runs.halt(connection, now, request.run, f"{request.action}: {reason}")


def overtaken(connection: Connection, effect: int) -> tuple[str, str]:
    """Why an effect cannot end any more: a person settled it, or the database lost what it had confirmed."""
    state = attempts.state_of(connection, effect)
    if state is None:
        return "lost", "is not in the ledger any more, which had confirmed it"
    return "late", f"ended after it had been settled as {state.replace('_', ' ')}"
