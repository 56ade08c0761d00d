"""What is decided about a plan, the refusal that tells a person everything, and the last look just before the act."""

from __future__ import annotations

import time

from sre_responder.emergency import cascade, stop
from sre_responder.engine.step.act import ended
from sre_responder.engine.step.call import Step, Tell
from sre_responder.errors import InputError, Refused, ResponderError
from sre_responder.guard.decide import Decision, OtherHostAtWork, decide, record_refusal
from sre_responder.incident import escalation
from sre_responder.ledger import Ledger, attempts, audit, runs
from sre_responder.model.facts import StopFact
from sre_responder.model.gate import Gate
from sre_responder.model.request import Request

TURN_SECONDS = 60
"""How long a host waits for its turn behind the other hosts of the same attempt."""


def decided(step: Step, undo: str) -> Decision:
    """What the gates say, with what is allowed reserved; `undo` is the capsule of the plan."""
    until = time.monotonic() + TURN_SECONDS
    with step.ledger.transaction() as connection:  # alerts may have come since the last action
        cascade.check(connection, step.ledger.now(connection), step.home, step.request.environment)
    while True:
        try:
            decision = decide(
                step.home, step.ledger, step.request, step.plan, step.runbook, measured=step.measured, undo=undo
            )
        except OtherHostAtWork:
            if time.monotonic() > until:
                words = f"other hosts of {step.request.action} were not done within {TURN_SECONDS} s."
                raise Refused(words) from None
            time.sleep(0.2)  # the other host may run on any machine: only the ledger tells when it is done
            continue
        with step.ledger.transaction() as connection:
            escalation.catch_up(connection, step.ledger.now(connection), step.home, step.request.incident)
        return decision


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


def confirmed(step: Step, decision: Decision) -> None:
    """Just before the act: the stop once more, the run's latch, and that the lease is still ours (its number is the fencing token)."""
    home, request, plan = step.home, step.request, step.plan
    assert decision.effect is not None and plan is not None
    try:
        with step.ledger.transaction() as connection:
            now = step.ledger.now(connection)
            facts = stop.standing(
                connection, now, home.policy.stop.file, environment=request.environment, service=request.service, record=True
            )  # fmt: skip
            run = runs.get(connection, request.run)
            attempts.renew(connection, now, plan.target, decision.effect, home.policy.lease.seconds)
    except Refused as error:
        ended(step, decision, "not_done", error.message, outcome="not_done")
        raise
    refused = {**decision.as_dict(), "decision": "refused"}
    if facts:
        ended(step, decision, "not_done", "an emergency stop before the act", outcome="not_done")
        gate = Gate(
            "stop", "failed", facts[0].reason, {"stops": [vars(f) for f in facts]}, command=f"responder lift {facts[0].id}"
        )  # fmt: skip
        with step.ledger.transaction() as connection:
            record_refusal(connection, step.ledger.now(connection), request, [gate], plan)
        error_ = stop.report(request.incident, request.action, facts, audit.iso(now), step.tell)
        error_.details["guard"] = {**refused, "gates": [gate.as_dict()]}
        raise error_
    if run is not None and run.halted_because:
        ended(step, decision, "not_done", run.halted_because, outcome="not_done")
        raise Refused(f"this run was halted: {run.halted_because}.", guard=refused)
