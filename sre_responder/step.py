"""One guarded step from evidence to outcome: the only way in which anything is changed (design: the way of one mutation)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import insert, select

from sre_responder import stop, undo
from sre_responder.actions import ACTIONS, ActionSpec
from sre_responder.effects import Change
from sre_responder.errors import (
    EffectFailed,
    InputError,
    OutcomeUnknown,
    Refused,
    ResponderError,
    StateMoved,
)
from sre_responder.evidence.criterion import Criterion
from sre_responder.evidence.http import sample
from sre_responder.evidence.verdict import Verdict, healthy_now, watch
from sre_responder.guard.decide import Decision, OtherHostAtWork, decide, preview, record_refusal, symptom
from sre_responder.guard.snapshot import Gate, Request, StopFact
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans, runs
from sre_responder.ledger.schema import not_applicable
from sre_responder.plan import Plan, hide_secrets
from sre_responder.runbook import Runbook

TURN_SECONDS = 60
"""How long a host waits for its turn behind the other hosts of the same attempt."""


class Effect(Protocol):
    """What the step needs of an effect: a plan without side effects, and the act itself."""

    def plan(self) -> Change: ...

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
    last_host: bool = True


def perform(home: Home, ledger: Ledger, step: Step, effect: Effect) -> dict[str, Any]:
    """Take one step of the ladder and give the module's result.

    Raises Refused or Stopped (with `guard` in the details) where a gate said no, EffectFailed where the platform did,
    OutcomeUnknown where nobody can say what happened.
    """
    request, spec = step.request, ACTIONS.get(step.request.action)
    evidence = Evidence(home, step)
    if not request.problems and spec is not None and step.runbook is not None:
        if not step.applies:
            return _skip(home, ledger, step, "not_applicable", step.because or "declared not applicable")
        if not spec.containment:
            verdict = evidence.now(ledger)
            if verdict.state == "healthy":
                return _skip(home, ledger, step, "healthy", verdict.reason)
            if tried := _tried(ledger, step):
                return _skip(home, ledger, step, "tried", f"attempt {tried} did not help")
    change, plan, problem = _plan(home, step, spec, effect)
    if problem:
        request = Request(**{**request.__dict__, "problems": (*request.problems, problem)})
    if step.check:
        decision = preview(home, ledger, request, plan, step.runbook, measured=evidence.measured)
        _keep_preview(ledger, request, decision, plan)
        return {**_described(change, plan), "outcome": None, "guard": decision.as_dict()}
    if plan and plan.before == plan.after:
        already = _skip(home, ledger, step, "not_applicable", "the target is already in the wanted state")
        return {**already, **_described(change, plan)}
    text = undo.playbook(plan, request.host) if plan else ""
    if plan:
        undo.write(home.state / "undo", plan, text)
    decision = _decide(home, ledger, request, plan, step, evidence.measured, text)
    if not decision.allowed or plan is None or change is None or spec is None:
        raise refusal(ledger, request, decision)
    _confirm(home, ledger, request, plan, decision)
    try:
        observed = effect.act(change, plan.digest)
    except StateMoved as error:
        _end(home, ledger, decision, request, "not_done", error.message, outcome="not_improved")
        raise
    except EffectFailed as error:
        _end(home, ledger, decision, request, "failed", error.message, outcome="not_improved")
        raise
    except (
        BaseException
    ) as error:  # a timeout of the task is a BaseException: whatever happened, nobody knows how far it came
        _end(home, ledger, decision, request, "unknown", f"{type(error).__name__}: {error}", outcome="unknown")
        raise
    return _settled(home, ledger, step, spec, decision, change, plan, observed, evidence)


class Evidence:
    """The runbook's success criterion, read for one service; `measured` says whether it could be."""

    def __init__(self, home: Home, step: Step) -> None:
        self.home, self.step = home, step
        self.measured = True
        self.criterion: Criterion | None = None
        self.url: str | None = None
        if step.runbook is not None and not step.request.problems:
            self.criterion = step.runbook.metadata.success
            self.url = self.criterion.url or home.catalogue.service(step.request.service).annotations.get(
                "responder/probe-url"
            )

    def now(self, ledger: Ledger) -> Verdict:
        """Whether the criterion is met at this moment."""
        if self.criterion is None or self.url is None:
            return Verdict(
                "unknown",
                "no probe: neither the runbook's success.url nor the annotation responder/probe-url is set",
                (),
            )
        criterion, url = self.criterion, self.url
        verdict = healthy_now(criterion, lambda: sample(criterion, url), time.time, time.sleep)
        self.measured = verdict.state != "unknown"
        self._observe(ledger, verdict.state == "healthy" if self.measured else None, verdict)
        return verdict

    def after(self, ledger: Ledger, interrupted: Callable[[], bool]) -> Verdict:
        """What the criterion says after the act."""
        if self.criterion is None or self.url is None:
            return Verdict("unknown", "no probe to watch", ())
        criterion, url = self.criterion, self.url
        verdict = watch(criterion, lambda: sample(criterion, url), time.time, time.sleep, interrupted)
        self._observe(ledger, {"improved": True, "not_improved": False}.get(verdict.state), verdict)
        return verdict

    def _observe(self, ledger: Ledger, healthy: bool | None, verdict: Verdict) -> None:
        if healthy is None or self.step.check or self.step.runbook is None:
            return
        request = self.step.request
        name = symptom(request.environment, request.service, self.step.runbook.metadata.failure_class)
        with ledger.transaction() as connection:
            period = self.home.policy.loop.healthy_seconds
            incidents.observe(connection, ledger.now(connection), name, healthy, period, began=verdict.good_since)


def _keep_preview(ledger: Ledger, request: Request, decision: Decision, plan: Plan | None) -> None:
    """A dry run leaves its plan on the record, so that people may approve it before it is needed; it counts as nothing."""
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if plan:
            plans.save(
                connection,
                now,
                plan,
                request.incident,
                decision.gates,
                request.requester,
                undo.playbook(plan, request.host),
                False,
            )
        audit.append(
            connection, now, "plan.made", request.requester, f"{request.action} previewed", incident=request.incident, action=request.action,
            run=request.run, step=request.step, plan=plan.digest if plan else None, gates=[gate.as_dict() for gate in decision.gates],
        )  # fmt: skip


def _tried(ledger: Ledger, step: Step) -> int | None:
    """The attempt at this remedy for this symptom that did not help since the symptom was healthy."""
    assert step.runbook is not None
    name = symptom(step.request.environment, step.request.service, step.runbook.metadata.failure_class)
    with ledger.transaction(reading=True) as connection:
        joined = attempts.of_task(connection, step.request.run, step.request.task)
        for attempt in attempts.of_symptom(connection, name, incidents.recovered_at(connection, name)):
            mine = joined is not None and joined.id == attempt.id
            if attempt.action == step.request.action and attempt.outcome == "not_improved" and not mine:
                return attempt.id
    return None


def _skip(home: Home, ledger: Ledger, step: Step, reason: str, because: str) -> dict[str, Any]:
    request = step.request
    if not step.check:
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            key = {"incident": request.incident, "step": request.step}
            if (
                reason == "not_applicable"
                and connection.execute(select(not_applicable).filter_by(**key)).first() is None
            ):
                connection.execute(insert(not_applicable).values(**key, because=because[:1000], at=now))
            audit.append(
                connection, now, "action.skipped", request.requester, f"{request.action} skipped ({reason}): {because}",
                incident=request.incident, action=request.action, reason=reason, run=request.run,
            )  # fmt: skip
    return {"changed": False, "skipped": True, "skip_reason": reason, "msg": f"{reason}: {because}", "outcome": None}


def _plan(
    home: Home, step: Step, spec: ActionSpec | None, effect: Effect
) -> tuple[Change | None, Plan | None, str | None]:
    """The plan of this step, or the sentence that says why there is none."""
    if step.request.problems or spec is None:
        return None, None, None
    try:
        change = effect.plan()
    except ResponderError as error:
        return None, None, str(error)
    runbook = step.runbook
    plan = Plan(
        runbook=runbook.metadata.id if runbook else "none",
        runbook_digest=runbook.digest if runbook else "none",
        action=spec.name,
        arguments=hide_secrets(step.arguments, spec.secrets, home.secret if spec.secrets else b""),
        service=step.request.service,
        environment=step.request.environment,
        target=change.target,
        before=change.before,
        after=change.after,
        undo=change.undo,
        undo_note=change.undo_note,
        diff=change.diff,
        evidence=change.evidence,
        busy=change.busy,
        capacity=change.capacity,
    )
    return change, plan, None


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


def refusal(ledger: Ledger, request: Request, decision: Decision) -> ResponderError:
    """The error that tells a person everything: each reason, who can clear it, the command to type."""
    first = decision.refusals[0]
    if first.name == "stop":
        facts = tuple(StopFact(f["id"], f["holder"], f["reason"], f["scope"], None) for f in first.evidence["stops"])
        error: ResponderError = stop.report(request.incident, request.action, facts, audit.iso(ledger.clock()))
        error.details["guard"] = decision.as_dict()
        return error
    lines = [f"{request.action} refused; nothing was changed."]
    for gate in decision.refusals:
        cleared = f" Cleared by {gate.clears_by}." if gate.clears_by else ""
        at = f" Clears by itself at {gate.clears_at}." if gate.clears_at else ""
        lines.append(
            f"  {gate.name} {gate.status}: {gate.reason}.{cleared}{at}"
            + (f"\n    {gate.command}" if gate.command else "")
        )
    bad_input = all(gate.name == "inputs" for gate in decision.refusals)
    kind = InputError if bad_input else Refused
    return kind("\n".join(lines), guard=decision.as_dict())


def _confirm(home: Home, ledger: Ledger, request: Request, plan: Plan, decision: Decision) -> None:
    """Just before the act: the stop once more, the run's latch, and that the lease is still ours (its number is the fencing token)."""
    assert decision.effect is not None
    try:
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            facts = stop.standing(
                connection,
                now,
                home.policy.stop.file,
                environment=request.environment,
                service=request.service,
                record=True,
            )
            run = runs.get(connection, request.run)
            attempts.renew(connection, now, plan.target, decision.effect, home.policy.lease.seconds)
    except Refused as error:
        _end(home, ledger, decision, request, "not_done", error.message, outcome="not_improved")
        raise
    if facts:
        _end(
            home,
            ledger,
            decision,
            request,
            "not_done",
            "an emergency stop was raised before the act",
            outcome="not_improved",
        )
        gate = Gate(
            "stop",
            "failed",
            facts[0].reason,
            {"stops": [f.__dict__ for f in facts]},
            command=f"responder lift {facts[0].id}",
        )
        with ledger.transaction() as connection:
            record_refusal(connection, ledger.now(connection), request, [gate], plan)
        error_ = stop.report(request.incident, request.action, facts, audit.iso(now))
        error_.details["guard"] = {**decision.as_dict(), "decision": "refused", "gates": [gate.as_dict()]}
        raise error_
    if run is not None and run.halted_because:
        _end(home, ledger, decision, request, "not_done", run.halted_because, outcome="not_improved")
        raise Refused(
            f"this run was halted: {run.halted_because}.", guard={**decision.as_dict(), "decision": "refused"}
        )


def _end(
    home: Home, ledger: Ledger, decision: Decision, request: Request, state: str, reason: str, *, outcome: str
) -> None:
    """Record an end without success, and latch the run where the outcome is not known."""
    assert decision.effect is not None and decision.attempt is not None
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_effect(connection, now, decision.effect, state, reason=reason)
        attempts.end_attempt(connection, now, decision.attempt, outcome, reason, request.requester)
        if state in ("unknown", "not_done"):
            runs.halt(connection, now, request.run, f"{request.action}: {reason}")


def _settled(
    home: Home, ledger: Ledger, step: Step, spec: ActionSpec, decision: Decision, change: Change, plan: Plan,
    observed: dict[str, Any], evidence: Evidence,
) -> dict[str, Any]:  # fmt: skip
    """Record what was observed, watch the evidence, and give the result."""
    request = step.request
    assert decision.effect is not None and decision.attempt is not None
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_effect(connection, now, decision.effect, "done", observed=observed, hold=step.last_host)
        audit.append(
            connection, now, "effect.done", request.requester, f"{request.action} on {plan.target} done", incident=request.incident,
            attempt=decision.attempt, host=request.host, observed=observed,
        )  # fmt: skip
    result = {
        **_described(change, plan),
        "changed": True,
        "after": observed,
        "guard": decision.as_dict(),
        "outcome": None,
    }
    if not step.last_host:
        return result
    if spec.containment:
        verdict = Verdict("improved", "the target is contained, read back from the platform", ())
    else:
        verdict = evidence.after(ledger, lambda: bool(_stops(home, ledger, request)))
    if verdict.state == "unknown" and not home.policy.requires.measured_criterion:
        verdict = Verdict("not_improved", f"not measured, noted: {verdict.reason}", verdict.samples)
    outcome = {"improved": "improved", "not_improved": "not_improved"}.get(verdict.state, "unknown")
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_attempt(connection, now, decision.attempt, outcome, verdict.reason, request.requester)
        if outcome == "unknown":
            attempts.freeze(connection, now, decision.attempt, verdict.reason)
            runs.halt(connection, now, request.run, f"the outcome of {request.action} is unknown")
        plans.waits_no_longer(connection, plan.digest)
    result["outcome"] = outcome
    if outcome == "unknown":
        raise OutcomeUnknown(
            f"{request.action} ran and its outcome is unknown: {verdict.reason}.",
            cure=f"responder settle {plan.target}",
            **result,
        )
    return result


def _stops(home: Home, ledger: Ledger, request: Request) -> tuple[StopFact, ...]:
    with ledger.transaction(reading=True) as connection:
        return stop.standing(
            connection,
            ledger.now(connection),
            home.policy.stop.file,
            environment=request.environment,
            service=request.service,
            record=False,
        )


def _described(change: Change | None, plan: Plan | None) -> dict[str, Any]:
    if change is None or plan is None:
        return {"changed": False, "before": {}, "after": {}, "diff": {}}
    return {"changed": plan.before != plan.after, "before": plan.before, "after": plan.after, "diff": plan.diff}


def resolve(home: Home, playbook: Path) -> Runbook | None:
    """The runbook in which a playbook stands: a registered one of the same digest, or the folder's own as unregistered."""
    if playbook.name != "runbook.yml" or not playbook.is_file():
        return None
    here = Runbook(playbook.parent, None, shipped=False)
    try:
        return home.runbooks.with_digest(here.digest) or (here if here.metadata else None)
    except InputError:
        return None
