"""The picture that the gates judge: every fact about one request, read in one transaction, each by a function of its own."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from sre_responder.approvals.admissible import admissible
from sre_responder.emergency import stop
from sre_responder.errors import InputError
from sre_responder.guard.gates.loop import lockout
from sre_responder.guard.snapshot import Snapshot
from sre_responder.home import Home
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import Runbook
from sre_responder.incident.outage import outage
from sre_responder.ledger import attempts, audit, clock, foreseen, incidents, plans, runs
from sre_responder.ledger.schema import audit as audit_table
from sre_responder.ledger.schema import effects, not_applicable
from sre_responder.model.facts import Acted, RunbookFacts, Step
from sre_responder.model.plan import Plan, drift
from sre_responder.model.request import Request


def symptom(environment: str, service: str, failure_class: str) -> str:
    """What attempts are counted by: not the incident's number, not the alert's name (spec section 2)."""
    return f"{environment}:{service}:{failure_class}"


def facts(runbook: Runbook | None, policy: Policy) -> RunbookFacts | None:
    """A runbook as the gates see it. A step that the policy does not allow counts as of the first rung: what is above waits for it."""
    if runbook is None:
        return None
    steps = tuple(
        Step(task.digest, task.action, spec.rung if (spec := policy.action(task.action)) else 1, task.name, task.does)
        for task in runbook.steps
        if task.action
    )
    meta = runbook.metadata
    return RunbookFacts(meta.id, runbook.digest, runbook.registered, meta.failure_class, meta.contain_first, steps)


def reset_at(
    connection: Connection, now: float, home: Home, request: Request, names: Sequence[str]
) -> dict[str, float]:
    """Each of these lockouts for which a person allowed one retry, and when they signed that."""
    verify = admissible(now, home, request.requester)
    found = {name: plans.signed(connection, "reset", name, verify) for name in names}
    return {name: signed[0].signed_at for name, signed in found.items() if signed}


def look(  # noqa: PLR0913 - what the gates judge, each by its name
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
    policy, known = home.policy, facts(runbook, home.policy)
    name = symptom(request.environment, request.service, failure_class(request, known))

    verify = admissible(now, home, request.requester)
    try:
        radius = home.radius(request.service, now)
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
            a.id for a in attempts.of_incident(connection, request.incident) if (made_by := policy.action(a.action)) and made_by.shields
        ]),
    )  # fmt: skip
    declined = select(not_applicable.c.step).where(not_applicable.c.incident == request.incident)
    return Snapshot(
        now=now,
        ahead=clock.ahead(connection),
        jumps=clock.jumps(connection, now),
        policy=policy,
        request=request,
        spec=policy.action(request.action),
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
        skipped_as_tried=skipped(connection, request, "action.skipped", "reason", "tried"),
        approvals=approvals,
        drift=tuple(drift(alike, plan)) if alike and plan else (),
        foreseen="" if request.undoes is None else foreseen.reason(connection, now, request.undoes),
        measured=measured,
        proven=f"attempt {proven.id} improved {proven.service} in {proven.environment}" if proven else None,
        attested=f"{attested[0].person}, {attested[1].get('evidence', '')}" if attested else None,
        scope_identified=connection.execute(seen.limit(1)).scalar() is not None,
        contained=connection.execute(held.limit(1)).scalar() is not None,
        radius=radius,
        repairs_nearby=attempts.services_under_repair(connection, radius.neighbours) if radius else (),
        outage=outage(connection, home.graph, request.incident, request.service, request.environment),
        holder=attempts.holder(connection, plan.target, but=joined) if plan else None,
        frozen=_frozen(connection, plan.target, request) if plan else None,
        acted=tuple(
            Acted(row.host, row.target, row.state, row.reason or "")
            for row in attempts.effects_of_task(connection, request.run, request.task)
        ),
        halted=run.halted_because if run else None,
    )


def skipped(connection: Connection, request: Request, type: str, key: str, reason: str) -> frozenset[str]:
    """The steps that this run, or this dry run, has left out for that reason."""
    made = audit.entries(connection, incident=request.incident, type=type)
    mine = (entry.data for entry in made if entry.data.get("run") == request.run)
    return frozenset(data["step"] for data in mine if data.get(key) == reason and data.get("step"))


def failure_class(request: Request, runbook: RunbookFacts | None) -> str:
    """An undo counts for itself: it is no remedy, and it proves no runbook."""
    return f"undo-{request.undoes}" if request.undoes else runbook.failure_class if runbook else "none"


def _frozen(connection: Connection, target: str, request: Request) -> int | None:
    """An unknown outcome freezes its target for everything but its own undo."""
    return attempts.frozen(connection, target, but=request.undoes)
