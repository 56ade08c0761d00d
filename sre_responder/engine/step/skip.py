"""Steps that are left out, on the record with the reason: healthy, not applicable, or tried."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from sre_responder.engine.step.call import Step
from sre_responder.guard.gates.loop import lockout
from sre_responder.guard.picture import reset_at, symptom
from sre_responder.ledger import attempts, audit, incidents, plans
from sre_responder.ledger.schema import not_applicable
from sre_responder.model.facts import Attempt
from sre_responder.model.plan import Plan, canonical, hide_secrets


def skipped(step: Step, reason: str, because: str, *, plan: Plan | None = None, **facts: Any) -> dict[str, Any]:
    """Leave the step out, on the record with what is known of it; a dry run only says that it would.

    `plan` is that of a host for which the other hosts of the task need not wait.
    """
    request = step.request
    with step.ledger.transaction() as connection:
        now = step.ledger.now(connection)
        if step.check:
            audit.append(
                connection, now, "plan.made", request.requester, f"{request.action} would be skipped ({reason}): {because}",
                incident=request.incident, action=request.action, run=request.run, step=request.step, skipped=reason, because=because,
            )  # fmt: skip
        else:
            key = {"incident": request.incident, "step": request.step}
            known = connection.execute(select(not_applicable).filter_by(**key)).first()
            if reason == "not_applicable" and known is None:
                connection.execute(insert(not_applicable).values(**key, because=because[:1000], at=now))
            if plan is not None:
                attempts.note_unchanged(connection, now, request, plan)
            audit.append(
                connection, now, "action.skipped", request.requester, f"{request.action} skipped ({reason}): {because}",
                incident=request.incident, action=request.action, reason=reason, run=request.run, step=request.step,
                host=request.host, **facts,
            )  # fmt: skip
    return {"changed": False, "skipped": True, "skip_reason": reason, "msg": f"{reason}: {because}", "outcome": None}


def skipped_as_tried(step: Step, attempt: Attempt) -> dict[str, Any]:
    """Leave out what did not help. Where the task has other hosts, they need not wait for this one."""
    target = step.plan.target if step.plan else ", ".join(attempt.targets)
    because = f"attempt {attempt.id} on {target} did not help"
    noted = step.plan if len(step.request.hosts) > 1 else None
    return skipped(step, "tried", because, plan=noted, attempt=attempt.id, target=target, measured=step.state)


def tried(step: Step) -> Attempt | None:
    """The last attempt at this remediation of this target, where it was carried out, measured, and did not help.

    Since the symptom was healthy, that is. Where no plan can be made any more, as behind a rollback that was done, it is the last
    attempt that this very step made with these very options. A person may allow another one, and the ladder does where the
    runbook has this step behind a more invasive one, as a restart behind a rollback, which was taken since.
    """
    request, book, plan = step.request, step.runbook, step.plan
    assert book is not None
    if plan is None and step.change is not None:
        return None  # the target is another's, and what is not this step's was never tried
    name = symptom(request.environment, request.service, book.metadata.failure_class)
    digests = [task.digest for task in book.steps]
    before = set(digests[: len(digests) - 1 - digests[::-1].index(request.step)])
    with step.ledger.transaction(reading=True) as connection:
        now = step.ledger.now(connection)
        made = [
            attempt
            for attempt in attempts.of_symptom(connection, name, incidents.recovered_at(connection, name))
            if attempt.outcome in ("improved", "not_improved") and attempts.carried_out(connection, attempt.id)
        ]
        mine = [
            attempt
            for attempt in made
            if attempt.action == request.action
            and (attempt.acted_on(plan.target) if plan else _repeats(connection, attempt, step))
        ]
        if not mine or mine[-1].outcome == "improved":
            return None
        last = mine[-1]
        locks = [lockout(name, request.action, target) for target in ((plan.target,) if plan else last.targets)]
        allowed = max(reset_at(connection, now, step.home, request, locks).values(), default=0.0)
    since = [a for a in made if a.started_at > last.started_at and a.rung > last.rung and a.step in before]
    return None if since or allowed > last.started_at else last


def _repeats(connection: Connection, attempt: Attempt, step: Step) -> bool:
    """Whether a step is word for word what an attempt did on this host, so that both have one target."""
    request, spec = step.request, step.spec
    assert spec is not None
    given = canonical(hide_secrets(step.arguments, spec.secrets, step.home.secret if spec.secrets else b""))
    return attempt.step == request.step and any(
        effect.host == request.host and canonical(plans.of(plans.find(connection, effect.plan)).arguments) == given
        for effect in attempts.effects_of(connection, attempt.id)
    )
