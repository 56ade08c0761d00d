"""The canary: what was healed, and what depends on it, must stay good before anything else is done (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sre_responder.engine import downstream
from sre_responder.engine.health import Health
from sre_responder.engine.step.call import Step
from sre_responder.errors import InputError
from sre_responder.evidence.verdict import State, Verdict
from sre_responder.incident.outage import Outage, outage
from sre_responder.ledger import attempts, audit
from sre_responder.model.facts import Attempt


def measured(step: Step) -> Step:
    """The step whose plan says how each service downstream is: of this one, and of what this outage acted on before."""
    spec, plan = step.spec, step.plan
    if plan is None or spec is None or spec.containment:
        return step
    around = _outage(step)
    names = sorted({*around.downstream, *around.before} - {step.request.service})
    found = downstream.looked(downstream.takes(step.home, names, step.request.environment))
    return replace(step, plan=plan.model_copy(update={"evidence": {**plan.evidence, "downstream": found}}))


def owed(step: Step) -> None:
    """Prove that what this outage healed last is stable, where nothing on the record does: its canary was cut short, or had none."""
    around = _outage(step)
    last = around.last
    if last is None or around.proven or last.outcome != "improved":
        return
    with step.ledger.transaction(reading=True) as connection:
        runbook = attempts.get(connection, last.id).runbook
    try:
        book = step.home.runbooks.named(runbook)
    except InputError:  # it is gone, and with it the criterion: the gate `order` refuses
        return
    environment = step.request.environment
    _watched(step, last, Health(step.home, step.ledger, book, last.service, environment, incident=last.incident), [])


def after(step: Step, attempt: int, verdict: Verdict, interrupted: Callable[[], bool]) -> Verdict:
    """The verdict on an attempt, with what became of the services downstream that were healthy before it.

    What improved is watched for the whole canary where something was healthy downstream, or other services fail or were acted on.
    What did not improve is looked at once: services that it broke count towards a cascade all the same.
    """
    if step.health is None or verdict.state not in ("improved", "not_improved"):
        return verdict
    around, made = _outage(step), _made(step, attempt)
    healthy = sorted(name for name, state in _before(step, made).items() if state == "healthy")
    if verdict.state == "not_improved":
        now = downstream.looked(downstream.takes(step.home, healthy, step.request.environment))
        _note(step, made, {name: word for name, word in now.items() if word != "healthy"}, healed=False)
        return verdict
    if not healthy and set(around.services) == {step.request.service}:
        return verdict
    lost = _watched(step, made, step.health, healthy, interrupted)
    if not lost:
        return verdict
    state: State = "not_improved" if "unhealthy" in lost.values() else "unknown"
    why = "; ".join(f"{name} {word}" for name, word in lost.items())
    return replace(verdict, state=state, reason=f"{verdict.reason}; but in its canary: {why}")


def _watched(
    step: Step, attempt: Attempt, health: Health, healthy: list[str], interrupted: Callable[[], bool] = lambda: False
) -> dict[str, str]:
    """What did not stay healthy for the canary, with its state; on the record, as is that everything did.

    Services downstream are sampled throughout; the service itself is judged at the end, by its own criterion.
    """
    seconds, interval = step.home.policy.order.canary_seconds, health.runbook.metadata.success.interval_s
    known = downstream.takes(step.home, healthy, step.request.environment)
    lost = {name: downstream.state(one) for name, one in downstream.lost(known, seconds, interval, interrupted).items()}
    if interrupted():
        lost |= {attempt.service: "was not watched to the end: an emergency stop"}
    elif not lost and (own := health.now()).state != "healthy":
        lost = {attempt.service: own.state if own.state == "unhealthy" else own.reason}
    _note(step, attempt, lost, passed=not lost)
    return lost


def _note(step: Step, attempt: Attempt, lost: Mapping[str, str], *, passed: bool = False, healed: bool = True) -> None:
    """Put on the record that a canary passed, or what it lost; `healed` says whether the service itself was better."""
    if not lost and not passed:
        return
    said = "; ".join(f"{name} {word}" for name, word in lost.items()) or "it and what depends on it stayed healthy"
    broken = sorted(name for name, word in lost.items() if word == "unhealthy" and name != attempt.service)
    with step.ledger.transaction() as connection:
        audit.append(
            connection, step.ledger.now(connection), "canary.passed" if passed else "canary.failed", step.request.requester,
            f"attempt {attempt.id} on {attempt.service}: {said}", incident=attempt.incident,
            notify="incident_commander" if lost else None, attempt=attempt.id, environment=step.request.environment,
            seconds=step.home.policy.order.canary_seconds, lost=dict(lost), broken=broken, healed=healed,
        )  # fmt: skip


def _made(step: Step, attempt: int) -> Attempt:
    with step.ledger.transaction(reading=True) as connection:
        return attempts.numbered(connection, [attempt])[0]


def _before(step: Step, attempt: Attempt) -> dict[str, str]:
    """How the services downstream were before an attempt acted on its first host."""
    with step.ledger.transaction(reading=True) as connection:
        for entry in audit.entries(connection, incident=attempt.incident, type="action.started"):
            if entry.data.get("attempt") == attempt.id:
                return dict((entry.data.get("evidence") or {}).get("downstream", {}))
    return {}


def _outage(step: Step) -> Outage:
    request = step.request
    with step.ledger.transaction(reading=True) as connection:
        return outage(connection, step.home.graph, request.incident, request.service, request.environment)
