"""The decision: all gates over one picture, and the reservation, in one ledger transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from sre_responder.approvals import approval
from sre_responder.emergency import stop
from sre_responder.errors import InputError, Refused
from sre_responder.guard.gates import evaluate
from sre_responder.guard.gates.loop import lockout
from sre_responder.guard.snapshot import Snapshot
from sre_responder.home import Home
from sre_responder.home.people import Person
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger, attempts, audit, clock, incidents, plans, runs, temporary
from sre_responder.ledger.schema import audit as audit_table
from sre_responder.ledger.schema import effects, not_applicable
from sre_responder.model.actions import ACTIONS, spec_of
from sre_responder.model.facts import CLOCK_SLACK_SECONDS, RunbookFacts, Step
from sre_responder.model.gate import Gate
from sre_responder.model.plan import Plan, drift
from sre_responder.model.request import Request
from sre_responder.model.statement import Statement
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


def symptom(environment: str, service: str, failure_class: str) -> str:
    """What attempts are counted by: not the incident's number, not the alert's name (spec section 2)."""
    return f"{environment}:{service}:{failure_class}"


def facts(runbook: Runbook | None) -> RunbookFacts | None:
    """A runbook as the gates see it."""
    if runbook is None:
        return None
    steps = tuple(
        Step(task.digest, task.action, ACTIONS[task.action].rung, task.name, task.does)
        for task in runbook.steps
        if task.action
    )
    meta = runbook.metadata
    return RunbookFacts(meta.id, runbook.digest, runbook.registered, meta.failure_class, meta.contain_first, steps)


def _verifier(now: float, home: Home, request: Request) -> plans.Verify:
    """What a signature is worth for this request now: the person who signed, or Refused."""
    policy = home.policy

    def verify(statement: Statement, signature: str) -> Person:
        if statement.kind == "reset" and not policy.requires.approvals:
            return Person(name=statement.person, principal=statement.person)  # this policy asks nobody
        person = approval.verify(statement, signature, home.people, at=now)
        approves = statement.kind in ("approval", "break_glass")
        if approves and statement.decision == "grant" and person.name == request.requester:
            raise Refused(f"{person.name} requested this plan and cannot approve their own request.")
        offline = statement.kind == "break_glass"
        if offline and not policy.break_glass.allowed:
            raise Refused("the policy does not allow break-glass.")
        if statement.signed_at > now + CLOCK_SLACK_SECONDS:
            raise Refused("this was signed in the future.")
        if approves and statement.decision == "grant" and approval.outlived(statement):
            raise Refused("this approval is older than its time says: a clock was set.")
        longest = (policy.break_glass if offline else policy.approvals).valid_minutes * 60
        if approves and statement.expires_at - statement.signed_at > longest + 1:
            raise Refused(f"this approval is valid for longer than the policy's {longest // 60} minutes.")
        if statement.kind == "reset":
            approval.require_role(person, "incident_commander", "only an incident commander resets a lockout")
        if not approves and statement.expires_at <= now:
            raise Refused(f"this signature expired at {audit.iso(statement.expires_at)}.")
        return person

    return verify


def reset_at(
    connection: Connection, now: float, home: Home, request: Request, names: Sequence[str]
) -> dict[str, float]:
    """Each of these lockouts for which a person allowed one retry, and when they signed that."""
    verify = _verifier(now, home, request)
    found = {name: plans.signed(connection, "reset", name, verify) for name in names}
    return {name: signed[0].signed_at for name, signed in found.items() if signed}


def look(
    connection: Connection,
    now: float,
    home: Home,
    request: Request,
    plan: Plan | None,
    runbook: Runbook | None,
    *,
    measured: bool,
    record: bool,
    joined: int | None = None,
) -> Snapshot:
    """The picture that the gates judge, read in the caller's transaction."""
    policy, known = home.policy, facts(runbook)
    name = symptom(request.environment, request.service, _failure_class(request, known))

    verify = _verifier(now, home, request)
    try:
        radius = home.catalogue.radius(request.service)
    except InputError:
        radius = None
    oldest = now - policy.tested.max_age_days * 86400
    proven = attempts.proven(connection, known.digest, known.failure_class, oldest) if known else None
    attested = plans.signed(connection, "attest", known.digest, verify) if known else None
    locks = (lockout(name, request.action, plan.target if plan else None), f"rollbacks:{request.environment}")
    approvals = plans.approvals_of(connection, plan.digest, verify) if plan else ()
    alike = plans.approved_alike(connection, plan, now) if plan and not approvals else None
    since = incidents.recovered_at(connection, name)
    made = tuple(a for a in attempts.of_symptom(connection, name, since) if a.id != joined)
    run = runs.get(connection, request.run)
    seen = select(audit_table.c.id).where(
        audit_table.c.incident == request.incident, audit_table.c.type == "scope.identified"
    )
    held = select(effects.c.id).where(
        effects.c.contains.is_(True), effects.c.state == "done", effects.c.undone_at.is_(None),
        effects.c.attempt.in_([
            a.id for a in attempts.of_incident(connection, request.incident) if (made_by := spec_of(a.action)) and made_by.shields
        ]),
    )  # fmt: skip
    declined = select(not_applicable.c.step).where(not_applicable.c.incident == request.incident)
    return Snapshot(
        now=now,
        ahead=clock.ahead(connection),
        jumps=clock.jumps(connection, now),
        policy=policy,
        request=request,
        spec=spec_of(request.action),
        plan=plan,
        symptom=name,
        stops=stop.standing(
            connection, now, policy.stop.file, environment=request.environment, service=request.service, record=record
        ),
        incident=incidents.fact(connection, request.incident),
        runbook=known,
        attempts=made,
        severities=incidents.severities(connection, {a.incident for a in made}),
        incident_attempts=tuple(a for a in attempts.of_incident(connection, request.incident) if a.id != joined),
        rollbacks=tuple(a for a in attempts.rollbacks(connection, request.environment) if a.id != joined),
        resets=reset_at(connection, now, home, request, locks),
        not_applicable=frozenset(connection.execute(declined).scalars()),
        skipped_as_tried=_skipped(connection, request, "action.skipped", "reason", "tried"),
        approvals=approvals,
        drift=tuple(drift(alike, plan)) if alike and plan else (),
        over=request.undoes is not None and request.undoes in temporary.due(connection, now),
        measured=measured,
        proven=f"attempt {proven.id} improved {proven.service} in {proven.environment}" if proven else None,
        attested=f"{attested[0].person}, {attested[1].get('evidence', '')}" if attested else None,
        scope_identified=connection.execute(seen.limit(1)).scalar() is not None,
        contained=connection.execute(held.limit(1)).scalar() is not None,
        radius=radius,
        repairs_nearby=attempts.services_under_repair(connection, radius.neighbours) if radius else (),
        holder=attempts.holder(connection, plan.target, but=joined) if plan else None,
        frozen=_frozen(connection, plan.target, request) if plan else None,
        halted=run.halted_because if run else None,
    )


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
        left_out = _skipped(connection, request, "plan.made", "skipped", "not_applicable")
        tried = _skipped(connection, request, "plan.made", "skipped", "tried")
        gates = evaluate(
            replace(
                picture,
                not_applicable=picture.not_applicable | left_out,
                skipped_as_tried=picture.skipped_as_tried | tried,
            )
        )
    return Decision(not any(gate.blocks for gate in gates), gates, plan)


def _skipped(connection: Connection, request: Request, type: str, key: str, reason: str) -> frozenset[str]:
    """The steps that this run, or this dry run, has left out for that reason."""
    made = audit.entries(connection, incident=request.incident, type=type)
    mine = (entry.data for entry in made if entry.data.get("run") == request.run)
    return frozenset(data["step"] for data in mine if data.get(key) == reason and data.get("step"))


def decide(
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
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        earlier = attempts.of_task(connection, request.run, request.task)
        joined = earlier.id if earlier else None
        unfit = _unfit_to_join(connection, request, plan)
        picture = look(
            connection, now, home, request, plan, runbook, measured=measured, record=True, joined=joined,
        )  # fmt: skip
        gates = evaluate(picture)
        if unfit:
            gates = tuple(
                Gate("target", "failed", unfit, clears_by="an operator") if g.name == "target" else g for g in gates
            )
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
            failure_class=_failure_class(request, picture.runbook), automatic=not used and request.undoes is None,
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


def _failure_class(request: Request, runbook: RunbookFacts | None) -> str:
    """An undo counts for itself: it is no remedy, and it proves no runbook."""
    return f"undo-{request.undoes}" if request.undoes else runbook.failure_class if runbook else "none"


def _frozen(connection: Connection, target: str, request: Request) -> int | None:
    """An unknown outcome freezes its target for everything but its own undo."""
    return attempts.frozen(connection, target, but=request.undoes)


def _approvable(gates: Sequence[Gate]) -> bool:
    """A plan waits for people where only they stand in its way."""
    refused = [gate for gate in gates if gate.blocks]
    return bool(refused) and all(gate.clears_by_approval for gate in refused)


def _not_yet(gate: Gate) -> Gate:
    """A gate that people clear, while others refuse too: nobody is asked to approve what would be refused all the same."""
    return replace(gate, command=None) if gate.blocks and gate.clears_by_approval else gate


def _unfit_to_join(connection: Connection, request: Request, plan: Plan | None) -> str | None:
    """Hosts of one attempt go one by one, each once, and a host that failed stops the rest."""
    rows = attempts.effects_of_task(connection, request.run, request.task)
    if any(row.host == request.host for row in rows):
        return f"this task already acted on {request.host} in this run; an action runs once"
    if any(row.state in ("failed", "unknown") for row in rows):
        failed = next(row for row in rows if row.state in ("failed", "unknown"))
        return f"host {failed.host} failed ({failed.reason}), so the other hosts are left as they are"
    if any(row.state == "intended" for row in rows):
        raise OtherHostAtWork
    if twin := next((row.host for row in rows if plan is not None and row.target == plan.target), None):
        return f"{request.host} and {twin} are two names of one target"
    return None


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
