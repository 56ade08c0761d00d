"""One guarded step from evidence to outcome: the only way in which anything is changed (design: the way of one mutation)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, insert, select

from sre_responder import __version__, undo
from sre_responder.effects import Change
from sre_responder.emergency import cascade, stop
from sre_responder.engine.health import Health
from sre_responder.errors import (
    EffectFailed,
    InputError,
    LedgerUnavailable,
    NotApplicable,
    OutcomeUnknown,
    Refused,
    ResponderError,
    StateMoved,
)
from sre_responder.evidence.verdict import Verdict
from sre_responder.guard.decide import (
    Decision,
    OtherHostAtWork,
    decide,
    preview,
    record_refusal,
    reset_at,
    symptom,
)
from sre_responder.guard.gates.loop import lockout
from sre_responder.home import Home
from sre_responder.home.runbook import PLAYBOOK, Runbook, contents, locked
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans, runs
from sre_responder.ledger.schema import not_applicable
from sre_responder.model.actions import ActionSpec, spec_of
from sre_responder.model.facts import Attempt, StopFact
from sre_responder.model.gate import Gate
from sre_responder.model.plan import Plan, canonical, hide_secrets
from sre_responder.model.request import Request
from sre_responder.system.deadline import DeadlinePassed, deadline, held, released

UNCHANGED = "Nothing was changed."
TURN_SECONDS = 60
"""How long a host waits for its turn behind the other hosts of the same attempt."""
CONTAINED = Verdict("improved", "read back from the platform: the state is the wanted one", ())

Tell = Callable[[str], None]
"""Where the one JSON line of a blocked action goes."""


class Effect(Protocol):
    """What the step needs of an effect: a plan without side effects, and the act itself."""

    def plan(self) -> Change: ...

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        """Whether annotations of the catalogue may lead to the target of a change."""

    def act(self, change: Change, plan: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Step:
    """One call of a guarded module in plain values."""

    request: Request
    arguments: Mapping[str, Any]
    runbook: Runbook | None
    check: bool
    applies: bool = True
    because: str = ""


def perform(home: Home, ledger: Ledger, step: Step, effect: Effect, tell: Tell = stop.to_stderr) -> dict[str, Any]:
    """Take one step of the ladder and give the module's result.

    Raises Refused or Stopped (with `guard` in the details) where a gate said no, EffectFailed where the platform did,
    OutcomeUnknown where nobody can say what happened.
    """
    request, spec = step.request, spec_of(step.request.action)
    health, state, measured, declared = None, None, True, _declared(step)
    if step.runbook is not None and declared and spec is not None and not request.problems:
        if not step.applies:
            return _skip(ledger, step, "not_applicable", step.because or "declared not applicable")
        if left_out := home.policy.leaves_out(spec.name):
            return _skip(ledger, step, "not_applicable", left_out)
        health = Health(home, ledger, step.runbook, request.service, request.environment, record=not step.check)
        if not spec.shields and not _begun(ledger, request):
            verdict = health.lately(request.incident, request.run) or health.now()
            state, measured = verdict.state, spec.containment or verdict.state != "unknown"
            if verdict.state == "healthy":
                return _skip(ledger, step, "healthy", verdict.reason, measured=state, sampled=health.facts(verdict))
    try:
        change, plan, problem = _plan(home, step, spec, effect)
    except NotApplicable as error:
        if declared and not request.problems:
            return _skip(ledger, step, "not_applicable", error.message, measured=state)
        change, plan, problem = None, None, str(error)
    usable = plan is not None or change is None  # another's target is no remedy that could have been tried
    if state is not None and usable and (tried := _tried(home, ledger, step, plan)):
        return _skip_tried(ledger, step, plan, tried, state)
    if problem:
        request = replace(request, problems=(*request.problems, problem))
    if step.check:
        decision = preview(home, ledger, request, plan, step.runbook, measured=measured)
        _keep_preview(ledger, request, decision, plan)
        return {**_described(change, plan), "outcome": None, "guard": decision.as_dict()}
    if plan and plan.before == plan.after and (declared or request.undoes):
        already = _skip(
            ledger,
            step,
            "not_applicable",
            "the target is already in the wanted state",
            plan=plan,
            already=True,
            measured=state,
        )
        outcome = _conclude(home, ledger, step, health)
        return {**already, **_described(change, plan), "outcome": outcome}
    with held():
        return _guarded(home, ledger, replace(step, request=request), effect, change, plan, health, measured, tell)


def _guarded(
    home: Home, ledger: Ledger, step: Step, effect: Effect, change: Change | None, plan: Plan | None, health: Health | None,
    measured: bool, tell: Tell,
) -> dict[str, Any]:  # fmt: skip
    """Decide, act and watch. A task's timeout is held back from what goes on the record; it ends the act and the watch."""
    request, spec = step.request, spec_of(step.request.action)
    text = undo.playbook(plan, request.host) if plan else ""
    try:
        if plan:
            undo.write(home.state / "undo", plan, text)
        decision = _decide(home, ledger, request, plan, step, measured, text)
        if not decision.allowed or plan is None or change is None or spec is None:
            raise refusal(ledger, request, decision, tell)
        _confirm(home, ledger, request, plan, decision, tell)
    except LedgerUnavailable as error:  # before the act, so this is proven
        cure = error.cure.removeprefix(UNCHANGED).strip()
        raise LedgerUnavailable(error.message, cure=f"{UNCHANGED} {cure}".strip(), **error.details) from error
    try:
        observed = _act(home, ledger, step, effect, change, plan, decision)
        return _settled(home, ledger, step, decision, change, plan, observed, health)
    except LedgerUnavailable as error:
        # Not `from error`: its cure is for those who have changed nothing.
        raise _unknown(request, plan, f"what it did could not be recorded: {error.message}") from None


def _declared(step: Step) -> bool:
    """Whether this is a step of a registered runbook: what is not is left to the gates, and skips nothing on the record."""
    book = step.runbook
    return book is not None and book.registered and step.request.step in {task.digest for task in book.steps}


def _begun(ledger: Ledger, request: Request) -> bool:
    """Whether this task has already acted on another host: then the remedy is finished on all, healthy meanwhile or not."""
    with ledger.transaction(reading=True) as connection:
        return attempts.of_task(connection, request.run, request.task) is not None


def _tried(home: Home, ledger: Ledger, step: Step, plan: Plan | None) -> Attempt | None:
    """The last attempt at this remediation of this target, where it was carried out, measured, and did not help.

    Since the symptom was healthy, that is. Where no plan can be made any more, as behind a rollback that was done, it is the last
    attempt that this very step made with these very options. A person may allow another one, and the ladder does where the runbook has this step
    behind a more invasive one, as a restart behind a rollback, which was taken since.
    """
    request, book = step.request, step.runbook
    assert book is not None
    name = symptom(request.environment, request.service, book.metadata.failure_class)
    digests = [task.digest for task in book.steps]
    before = set(digests[: len(digests) - 1 - digests[::-1].index(request.step)])
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
        made = [
            attempt
            for attempt in attempts.of_symptom(connection, name, incidents.recovered_at(connection, name))
            if attempt.outcome in ("improved", "not_improved") and attempts.carried_out(connection, attempt.id)
        ]
        mine = [
            attempt
            for attempt in made
            if attempt.action == request.action
            and (attempt.acted_on(plan.target) if plan else _repeats(connection, attempt, step, home.secret))
        ]
        if not mine or mine[-1].outcome == "improved":
            return None
        last = mine[-1]
        locks = [lockout(name, request.action, target) for target in ((plan.target,) if plan else last.targets)]
        allowed = max(reset_at(connection, now, home, request, locks).values(), default=0.0)
    since = [a for a in made if a.started_at > last.started_at and a.rung > last.rung and a.step in before]
    return None if since or allowed > last.started_at else last


def _repeats(connection: Connection, attempt: Attempt, step: Step, secret: bytes) -> bool:
    """Whether a step is word for word what an attempt did on this host, so that both have one target."""
    request, spec = step.request, spec_of(step.request.action)
    assert spec is not None
    given = canonical(hide_secrets(step.arguments, spec.secrets, secret if spec.secrets else b""))
    return attempt.step == request.step and any(
        effect.host == request.host and canonical(plans.of(plans.find(connection, effect.plan)).arguments) == given
        for effect in attempts.effects_of(connection, attempt.id)
    )


def _skip_tried(ledger: Ledger, step: Step, plan: Plan | None, attempt: Attempt, state: str) -> dict[str, Any]:
    """Leave out what did not help. Where the task has other hosts, they need not wait for this one."""
    target = plan.target if plan else ", ".join(attempt.targets)
    because = f"attempt {attempt.id} on {target} did not help"
    noted = plan if len(step.request.hosts) > 1 else None
    return _skip(ledger, step, "tried", because, plan=noted, attempt=attempt.id, target=target, measured=state)


def _skip(
    ledger: Ledger, step: Step, reason: str, because: str, *, plan: Plan | None = None, **facts: Any
) -> dict[str, Any]:
    """Leave the step out, on the record with what is known of it; a dry run only says that it would.

    `plan` is that of a host for which the other hosts of the task need not wait.
    """
    request = step.request
    with ledger.transaction() as connection:
        now = ledger.now(connection)
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


def _plan(
    home: Home, step: Step, spec: ActionSpec | None, effect: Effect
) -> tuple[Change | None, Plan | None, str | None]:
    """The plan of this step, or the sentence that says why there is none."""
    if step.request.problems or spec is None:
        return None, None, None
    seconds = home.policy.deadlines.plan_seconds
    try:
        with deadline(seconds):
            change = effect.plan()
            wrong = misnamed(home, step.request, spec, step.arguments, partial(effect.same, change))
    except NotApplicable:
        raise
    except ResponderError as error:
        return None, None, str(error)
    except DeadlinePassed:
        return None, None, f"planning took longer than {seconds:g} s: the target answers too slowly, or not at all"
    if wrong:
        return change, None, wrong
    return change, plan_of(home, step.request, step.arguments, spec, step.runbook, change), None


def misnamed(
    home: Home, request: Request, spec: ActionSpec, arguments: Mapping[str, Any], same: Callable[[Mapping[str, str]], bool]
) -> str | None:  # fmt: skip
    """Why this target may not be changed under the name of this environment: it is judged by the strictest that reaches it."""
    if not spec.locates:
        return None
    told = [str(arguments[option]) for option in spec.locates if arguments.get(option)]
    other = home.catalogue.stricter(request.service, request.environment, same, told)
    if other is None:
        return None
    return (
        f"what {request.action} would change as {request.service} in {request.environment} is, or may be, that of {other}, and one "
        f"target has one set of limits, the strictest: act for {other}, or give each environment its own "
        f"{'responder/hosts, or its own ' if spec.on_host else ''}"
        f"{', '.join(f'{request.environment}.{spec.annotations[option]}' for option in spec.locates)} in the catalogue"
    )


def plan_of(
    home: Home, request: Request, arguments: Mapping[str, Any], spec: ActionSpec, runbook: Runbook | None, change: Change
) -> Plan:  # fmt: skip
    """A change as the plan that gates judge and people approve."""
    return Plan(
        incident=request.incident,
        runbook=runbook.metadata.id if runbook else "none",
        runbook_digest=runbook.digest if runbook else "none",
        action=spec.name,
        arguments=hide_secrets(arguments, spec.secrets, home.secret if spec.secrets else b""),
        service=request.service,
        environment=request.environment,
        basis={"library": __version__, "limits": home.policy.limits},
        **vars(change),
    )


def _keep_preview(ledger: Ledger, request: Request, decision: Decision, plan: Plan | None) -> None:
    """A dry run leaves its plan on the record, so that people may approve it before it is needed; it counts as nothing."""
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if plan:
            text = undo.playbook(plan, request.host)
            plans.save(connection, now, plan, request.incident, decision.gates, request.requester, text, False)
        audit.append(
            connection, now, "plan.made", request.requester, f"{request.action} previewed", incident=request.incident, action=request.action,
            run=request.run, step=request.step, plan=plan.digest if plan else None, gates=[gate.as_dict() for gate in decision.gates],
        )  # fmt: skip


def _decide(
    home: Home, ledger: Ledger, request: Request, plan: Plan | None, step: Step, measured: bool, text: str
) -> Decision:
    until = time.monotonic() + TURN_SECONDS
    while True:
        try:
            return decide(home, ledger, request, plan, step.runbook, measured=measured, undo=text)
        except OtherHostAtWork:
            if time.monotonic() > until:
                raise Refused(f"other hosts of {request.action} were not done within {TURN_SECONDS} s.") from None
            time.sleep(0.2)


def refusal(ledger: Ledger, request: Request, decision: Decision, tell: Tell = stop.to_stderr) -> ResponderError:
    """The error that tells a person everything: each reason, who can clear it, the command to type."""
    first = decision.refusals[0]
    if first.name == "stop":
        facts = tuple(StopFact(f["id"], f["holder"], f["reason"], f["scope"], None) for f in first.evidence["stops"])
        error: ResponderError = stop.report(request.incident, request.action, facts, audit.iso(ledger.clock()), tell)
        error.details["guard"] = decision.as_dict()
        return error
    lines = [f"{request.action} refused; nothing was changed."]
    for gate in decision.refusals:
        cleared = f" Cleared by {gate.clears_by}." if gate.clears_by else ""
        at = f" Clears by itself at {gate.clears_at}." if gate.clears_at else ""
        command = f"\n    {gate.command}" if gate.command else ""
        lines.append(f"  {gate.name} {gate.status}: {gate.reason.rstrip('.')}.{cleared}{at}{command}")
    bad_input = all(gate.name == "inputs" for gate in decision.refusals)
    kind = InputError if bad_input else Refused
    return kind("\n".join(lines), guard=decision.as_dict())


def _confirm(home: Home, ledger: Ledger, request: Request, plan: Plan, decision: Decision, tell: Tell) -> None:
    """Just before the act: the stop once more, the run's latch, and that the lease is still ours (its number is the fencing token)."""
    assert decision.effect is not None
    try:
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            facts = stop.standing(
                connection, now, home.policy.stop.file, environment=request.environment, service=request.service, record=True
            )  # fmt: skip
            run = runs.get(connection, request.run)
            attempts.renew(connection, now, plan.target, decision.effect, home.policy.lease.seconds)
    except Refused as error:
        _end(home, ledger, decision, request, "not_done", error.message, outcome="not_done")
        raise
    refused = {**decision.as_dict(), "decision": "refused"}
    if facts:
        _end(home, ledger, decision, request, "not_done", "an emergency stop before the act", outcome="not_done")
        gate = Gate(
            "stop", "failed", facts[0].reason, {"stops": [vars(f) for f in facts]}, command=f"responder lift {facts[0].id}"
        )  # fmt: skip
        with ledger.transaction() as connection:
            record_refusal(connection, ledger.now(connection), request, [gate], plan)
        error_ = stop.report(request.incident, request.action, facts, audit.iso(now), tell)
        error_.details["guard"] = {**refused, "gates": [gate.as_dict()]}
        raise error_
    if run is not None and run.halted_because:
        _end(home, ledger, decision, request, "not_done", run.halted_because, outcome="not_done")
        raise Refused(f"this run was halted: {run.halted_because}.", guard=refused)


def _limit(home: Home, step: Step, spec: ActionSpec) -> float | None:
    """How long an act may take: a rollback has its own deadline, all else what the task waits for and some time beside."""
    if step.request.undoes is not None:
        return None
    if spec.rollback:
        return home.policy.rollbacks.deadline_seconds
    return float(step.arguments.get("timeout_s", 0)) + home.policy.deadlines.act_seconds


def _act(
    home: Home, ledger: Ledger, step: Step, effect: Effect, change: Change, plan: Plan, decision: Decision
) -> dict[str, Any]:  # fmt: skip
    """Run the effect. Where it fails, the target itself tells whether anything was changed."""
    request, spec, begun = step.request, spec_of(step.request.action), False
    assert spec is not None
    try:
        with released(), deadline(_limit(home, step, spec)):
            begun = True
            return effect.act(change, plan.digest)
    except OutcomeUnknown as error:
        reason = str(error)
    except StateMoved as error:
        _end(home, ledger, decision, request, "not_done", error.message, outcome="not_done")
        raise
    except ResponderError as error:
        if _untouched(home, effect, change):
            refused = isinstance(error, Refused)  # by the platform's own guard
            state, outcome = ("not_done", "not_done") if refused else ("failed", "not_improved")
            _end(home, ledger, decision, request, state, error.message, outcome=outcome)
            if isinstance(error, InputError):  # what was asked for was accepted before: this is the platform's answer
                raise EffectFailed(error.message, cure=error.cure, **error.details) from error
            raise
        reason = str(error)
    except BaseException as error:  # a timeout of the task is one: nobody knows how far it came
        reason = f"{type(error).__name__}: {error}".removeprefix("DeadlinePassed: ")
        if not begun:
            _end(home, ledger, decision, request, "not_done", reason, outcome="not_done")
            raise
    _end(home, ledger, decision, request, "unknown", reason, outcome="unknown")
    raise _unknown(request, plan, reason)


def _untouched(home: Home, effect: Effect, change: Change) -> bool:
    """Whether the target is as it was before the act. What cannot be read is not called untouched."""
    try:
        with released(), deadline(home.policy.deadlines.plan_seconds):
            return effect.plan().before == change.before
    except (Exception, DeadlinePassed):
        return False


def _unknown(request: Request, plan: Plan, reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{request.action} ran and its outcome is unknown: {reason}.", cure=f"responder settle '{plan.target}'"
    )


def _end(
    home: Home, ledger: Ledger, decision: Decision, request: Request, state: str, reason: str, *, outcome: str
) -> None:
    """Record an end without success, and latch the run."""
    assert decision.effect is not None and decision.attempt is not None
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if attempts.end_effect(connection, now, decision.effect, state, reason=reason):
            attempts.end_attempt(connection, now, decision.attempt, outcome, reason, request.requester)
            cascade.check(connection, now, home.policy.cascade, request.environment)
        else:
            type, became = _overtaken(connection, decision.effect)
            audit.append(
                connection, now, f"attempt.{type}", request.requester, f"attempt {decision.attempt} {became}: {reason}",
                incident=request.incident, notify="incident_commander", action=request.action, state=state,
            )  # fmt: skip
        runs.halt(connection, now, request.run, f"{request.action}: {reason}")


def _overtaken(connection: Connection, effect: int) -> tuple[str, str]:
    """Why an effect cannot end any more: a person settled it, or the database lost what it had confirmed."""
    state = attempts.state_of(connection, effect)
    if state is None:
        return "lost", "is not in the ledger any more, which had confirmed it"
    return "late", f"ended after it had been settled as {state.replace('_', ' ')}"


def _settled(
    home: Home, ledger: Ledger, step: Step, decision: Decision, change: Change, plan: Plan, observed: dict[str, Any], health: Health | None
) -> dict[str, Any]:  # fmt: skip
    """Record what was observed; after the last host watch the evidence; give the result."""
    request = step.request
    assert decision.effect is not None and decision.attempt is not None
    if overtaken := _record(ledger, request, plan, decision.attempt, decision.effect, observed):
        raise _unknown(request, plan, f"it was done, and {overtaken}; what was observed is on the record")
    result = {**_described(change, plan), "changed": True, "after": observed, "guard": decision.as_dict()}
    result["outcome"] = _conclude(home, ledger, step, health, result)
    return result


def _record(
    ledger: Ledger, request: Request, plan: Plan, attempt: int, effect: int, observed: dict[str, Any]
) -> str | None:
    """Put what was observed on the record; gives why the intent cannot end any more, which is recorded instead."""
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if not attempts.end_effect(connection, now, effect, "done", observed=observed):
            type, became = _overtaken(connection, effect)
            audit.append(
                connection, now, f"effect.{type}", request.requester, f"{request.action} on {plan.target} was done; attempt {attempt} {became}",
                incident=request.incident, notify="incident_commander", plan=plan.digest, host=request.host, observed=observed,
                before=plan.before, undo=undo.playbook(plan, request.host),
            )  # fmt: skip
            return f"its attempt {became}"
        if attempts.complete(connection, request) is None:
            attempts.hold_by_run(connection, request.run, effect)
        audit.append(
            connection, now, "effect.done", request.requester, f"{request.action} on {plan.target} done", incident=request.incident,
            attempt=attempt, host=request.host, observed=observed,
        )  # fmt: skip
        plans.waits_no_longer(connection, plan.digest)
    return None


def _conclude(
    home: Home, ledger: Ledger, step: Step, health: Health | None, result: Mapping[str, Any] | None = None
) -> str | None:
    """The outcome of the attempt once every host of the task was dealt with; None before, and where there is no attempt."""
    request = step.request
    with ledger.transaction(reading=True) as connection:
        attempt = attempts.complete(connection, request)
    if attempt is None:
        return None
    spec = spec_of(request.action)
    if health is None or spec is None or spec.containment:
        verdict = CONTAINED
    else:
        verdict = _watched(health, lambda: bool(_stops(home, ledger, request)))
    if verdict.state == "unknown" and not home.policy.requires.measured_criterion:
        verdict = Verdict("not_improved", f"not measured, noted: {verdict.reason}", verdict.samples)
    outcome = verdict.state if verdict.state in ("improved", "not_improved") else "unknown"
    sampled = health.facts(verdict) if health else None
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_attempt(connection, now, attempt, outcome, verdict.reason, request.requester, sampled)
        cascade.check(connection, now, home.policy.cascade, request.environment)
        if outcome == "unknown":
            attempts.freeze(connection, now, attempt, verdict.reason)
            runs.halt(connection, now, request.run, f"the outcome of {request.action} is unknown")
    if outcome == "unknown":
        raise OutcomeUnknown(
            f"{request.action} ran and its outcome is unknown: {verdict.reason}.",
            cure="See `responder status`.",
            **{**(result or {}), "outcome": outcome},
        )
    return outcome


def _watched(health: Health, interrupted: Callable[[], bool]) -> Verdict:
    """What the criterion says after the act; where the task's own timeout cuts the watch off, nobody knows."""
    try:
        with released():
            return health.after(interrupted)
    except (ResponderError, KeyboardInterrupt):
        raise
    except BaseException as error:
        return Verdict("unknown", f"watching was cut off ({type(error).__name__}: {error})", ())


def _stops(home: Home, ledger: Ledger, request: Request) -> tuple[StopFact, ...]:
    with ledger.transaction(reading=True) as connection:
        now, file = ledger.now(connection), home.policy.stop.file
        return stop.standing(
            connection, now, file, environment=request.environment, service=request.service, record=False
        )


def _described(change: Change | None, plan: Plan | None) -> dict[str, Any]:
    if change is None or plan is None:
        return {"changed": False, "before": {}, "after": {}, "diff": {}}
    return {"changed": plan.before != plan.after, "before": plan.before, "after": plan.after, "diff": plan.diff}


def resolve(home: Home, playbook: Path) -> Runbook | None:
    """The runbook in which a playbook stands, with the digest under which this home has registered it, if it has."""
    if playbook.name != PLAYBOOK or not playbook.is_file():
        return None
    try:
        here = Runbook(contents(playbook.parent), None, shipped=False)
        return replace(here, registered_digest=locked(home.folder).get(here.metadata.id))
    except InputError:
        return None
