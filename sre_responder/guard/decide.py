"""The decision: all gates over one picture, and the reservation, in one ledger transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from sre_responder.errors import InputError
from sre_responder.guard.gates import evaluate
from sre_responder.guard.picture import failure_class, look, skipped
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger, attempts, audit, plans, runs
from sre_responder.model.gate import Gate
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request
from sre_responder.undo import digest as undo_digest


@dataclass(frozen=True)
class Decision:
    """What the guard said, and, where it allowed, what it reserved."""

    allowed: bool
    gates: tuple[Gate, ...]
    plan: Plan | None
    attempt: int | None = None
    effect: int | None = None
    """The number of the intent; it is the fencing token too: a newer one is always higher."""

    @property
    def refusals(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.blocks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "decision": "allowed" if self.allowed else "refused",
            "plan": self.plan.digest if self.plan else None,
            "attempt": self.attempt,
            "gates": [gate.as_dict() for gate in self.gates],
        }


class OtherHostAtWork(Exception):
    """Another host of the same attempt is not done yet: ask again in a moment."""


def preview(
    home: Home, ledger: Ledger, request: Request, plan: Plan | None, runbook: Runbook | None, *, measured: bool
) -> Decision:
    """The gates as they stand now, without reserving or recording anything."""
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
        picture = look(
            connection,
            now,
            home,
            request,
            plan,
            runbook,
            measured=measured,
            record=False,
        )
        left_out = skipped(connection, request, "plan.made", "skipped", "not_applicable")
        tried = skipped(connection, request, "plan.made", "skipped", "tried")
        gates = evaluate(
            replace(
                picture,
                not_applicable=picture.not_applicable | left_out,
                skipped_as_tried=picture.skipped_as_tried | tried,
            )
        )
    return Decision(not any(gate.blocks for gate in gates), gates, plan)


def decide(  # noqa: PLR0913 - what the gates judge, each by its name
    home: Home,
    ledger: Ledger,
    request: Request,
    plan: Plan | None,
    runbook: Runbook | None,
    *,
    measured: bool,
    undo: str = "",
) -> Decision:
    """Evaluate every gate and, if none blocks, reserve attempt, approvals and lease and write the intent: all or nothing."""
    with suppress(InputError):  # the gates say what is wrong with it
        _ = home.graph.dependencies  # before the lock: to read a large one takes half a second
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        earlier = attempts.of_task(connection, request.run, request.task)
        joined = earlier.id if earlier else None
        picture = look(
            connection, now, home, request, plan, runbook, measured=measured, record=True, joined=joined,
        )  # fmt: skip
        if picture.waits_for_host:
            raise OtherHostAtWork
        gates = evaluate(picture)
        if plan:
            # The latch of a run is cleared by running again; people are asked for what they alone can clear.
            waits = _approvable(evaluate(replace(picture, halted=None)))
            gates = gates if waits else tuple(map(_not_yet, gates))
            plans.save(connection, now, plan, request.incident, gates, request.requester, undo, waits)
        if any(gate.blocks for gate in gates) or plan is None or picture.spec is None:
            record_refusal(connection, now, request, gates, plan)
            if earlier is not None and earlier.outcome is None:
                reason = f"{request.host} was refused, so the remedy is not complete"
                attempts.end_attempt(connection, now, earlier.id, "not_improved", reason, request.requester)
            return Decision(False, gates, plan)
        asked = any(gate.spends_approval for gate in gates)
        used = picture.grants if asked else ()
        attempt = attempts.reserve(
            connection, now, request, plan, symptom=picture.symptom, rung=picture.spec.rung, joined=joined,
            failure_class=failure_class(request, picture.runbook), automatic=not used and request.undoes is None,
        )  # fmt: skip
        plans.use_approvals(connection, used, attempt)
        effect = attempts.intend(
            connection, now, attempt, request, plan, contains=picture.spec.containment and request.undoes is None,
            lease_seconds=home.policy.lease.seconds,
        )  # fmt: skip
        audit.append(
            connection, now, "action.started", request.requester, f"{request.action} on {plan.target}", incident=request.incident,
            plan=plan.digest, attempt=attempt, action=request.action, rung=picture.spec.rung, host=request.host, target=plan.target,
            before=plan.before, after=plan.after, diff=plan.diff, evidence=plan.evidence, approved_by=[a.person for a in used],
            gates={g.name: f"{g.status}: {g.reason}" for g in gates},
            radius=picture.radius.as_dict() if picture.radius else None, run=request.run, step=request.step,
            undo=undo_digest(undo),
        )  # fmt: skip
        return Decision(True, gates, plan, attempt, effect)


def _approvable(gates: Sequence[Gate]) -> bool:
    """A plan waits for people where only they stand in its way."""
    refused = [gate for gate in gates if gate.blocks]
    return bool(refused) and all(gate.clears_by_approval for gate in refused)


def _not_yet(gate: Gate) -> Gate:
    """A gate that people clear, while others refuse too: nobody is asked to approve what would be refused all the same."""
    return replace(gate, command=None) if gate.blocks and gate.clears_by_approval else gate


def record_refusal(
    connection: Connection, now: float, request: Request, gates: Sequence[Gate], plan: Plan | None
) -> None:
    """A refusal goes to the record, to the incident commander, and latches the run."""
    refused = [gate for gate in gates if gate.blocks]
    stopped = refused and refused[0].name == "stop"
    summary = f"{request.action} refused: " + "; ".join(f"{gate.name}: {gate.reason}" for gate in refused)
    audit.append(
        connection, now, "gate.blocked", request.requester, summary, incident=request.incident[:16], notify="incident_commander",
        action=request.action, plan=plan.digest if plan else None, service=request.service, environment=request.environment,
        run=request.run, step=request.step, stopped=bool(stopped), gates=[gate.as_dict() for gate in refused],
    )  # fmt: skip
    runs.halt(
        connection, now, request.run, f"{request.action} was refused ({', '.join(gate.name for gate in refused)})"
    )
