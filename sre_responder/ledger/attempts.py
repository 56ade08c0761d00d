"""Attempts, their effects host by host, and the leases that hold their targets."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, or_, select, update

from sre_responder.errors import Refused
from sre_responder.ledger import audit
from sre_responder.ledger.runs import MACHINE, alive
from sre_responder.ledger.schema import attempts, effects, leases, runs
from sre_responder.model.facts import Attempt, Holder
from sre_responder.model.plan import Plan, canonical
from sre_responder.model.request import Request
from sre_responder.system import process
from sre_responder.system.prove import processes_of


def _facts(connection: Connection, query: Select[Any]) -> tuple[Attempt, ...]:
    rows = connection.execute(query).all()
    targets: dict[int, list[str]] = defaultdict(list)
    acted = select(effects.c.attempt, effects.c.target).where(effects.c.attempt.in_([row.id for row in rows]))
    for attempt, target in connection.execute(acted.order_by(effects.c.id)) if rows else ():
        targets[attempt].append(target)
    return tuple(
        Attempt(
            r.id, r.incident, r.symptom, r.service, r.action, r.rung, r.automatic, r.started_at, r.outcome,
            tuple(targets[r.id]), r.step or "",
        )
        for r in rows
    )  # fmt: skip


MADE = or_(attempts.c.outcome.is_(None), attempts.c.outcome != "not_done")
"""An attempt that ended before its act (a stop, a target that moved) changed nothing and counts for nothing."""


def of_symptom(connection: Connection, symptom: str, since: float) -> tuple[Attempt, ...]:
    """Attempts for a symptom that began since then, oldest first. While a clock set back stands still, all count."""
    query = select(attempts).where(attempts.c.symptom == symptom, attempts.c.started_at >= since, MADE)
    return _facts(connection, query.order_by(attempts.c.started_at))


def of_incident(connection: Connection, incident: str) -> tuple[Attempt, ...]:
    """Attempts of an incident, oldest first."""
    query = select(attempts).where(attempts.c.incident == incident, MADE)
    return _facts(connection, query.order_by(attempts.c.started_at))


def numbered(connection: Connection, numbers: Collection[int]) -> tuple[Attempt, ...]:
    """The attempts of these numbers, oldest first."""
    query = select(attempts).where(attempts.c.id.in_(numbers), MADE)
    return _facts(connection, query.order_by(attempts.c.started_at)) if numbers else ()


def rollbacks(connection: Connection, environment: str, limit: int = 50) -> tuple[Attempt, ...]:
    """The latest rollbacks in an environment, oldest first."""
    newest = (
        select(attempts)
        .where(attempts.c.environment == environment, attempts.c.rung == 3, MADE)
        .order_by(attempts.c.started_at.desc())
        .limit(limit)
    )
    return tuple(reversed(_facts(connection, newest)))


def proven(connection: Connection, digest: str, failure_class: str, since: float) -> Row[Any] | None:
    """A remedy since then that improved things under this very runbook for this class of failure; containment is none."""
    query = select(attempts).where(
        attempts.c.rung > 0,
        attempts.c.runbook_digest == digest, attempts.c.outcome == "improved",
        attempts.c.failure_class == failure_class, attempts.c.ended_at >= since,
    )  # fmt: skip
    return connection.execute(query.order_by(attempts.c.ended_at.desc()).limit(1)).one_or_none()


def failing(connection: Connection, environment: str, since: float) -> tuple[str, ...]:
    """The services of an environment whose last remedy since then did not help; one that a later rung healed is none."""
    query = select(attempts.c.service, attempts.c.outcome).where(
        attempts.c.environment == environment, attempts.c.rung > 0, attempts.c.started_at >= since,
        attempts.c.outcome.in_(("improved", "not_improved", "unmeasured", "unknown")),
    )  # fmt: skip
    last = {service: outcome for service, outcome in connection.execute(query.order_by(attempts.c.started_at))}
    return tuple(sorted(service for service, outcome in last.items() if outcome != "improved"))


def acted_on(connection: Connection, environment: str, since: float) -> list[Row[Any]]:
    """The service, incident and start of each remediation in an environment since then, oldest first."""
    query = select(attempts.c.service, attempts.c.incident, attempts.c.started_at).where(
        attempts.c.environment == environment, attempts.c.rung > 0, attempts.c.started_at >= since, MADE
    )
    return list(connection.execute(query.order_by(attempts.c.started_at)))


def of_task(connection: Connection, run: str, task: str) -> Row[Any] | None:
    """The attempt that this task of this run already made on another host."""
    return connection.execute(select(attempts).where(attempts.c.run == run, attempts.c.task == task)).one_or_none()


def last_of_run(connection: Connection, run: str) -> Row[Any] | None:
    """The last attempt that a run has made."""
    query = select(attempts).where(attempts.c.run == run, MADE).order_by(attempts.c.id.desc())
    return connection.execute(query.limit(1)).one_or_none()


def unknown_of_run(connection: Connection, run: str) -> bool:
    """Whether the outcome of anything that this run did is unknown."""
    query = select(attempts.c.id).where(attempts.c.run == run, attempts.c.outcome == "unknown")
    return connection.execute(query.limit(1)).scalar() is not None


def effects_of(connection: Connection, attempt: int) -> Sequence[Row[Any]]:
    return connection.execute(select(effects).where(effects.c.attempt == attempt).order_by(effects.c.id)).all()


def changes_of(connection: Connection, target: str) -> Sequence[Row[Any]]:
    """What was done to a target, or may have been, and is not undone."""
    made = effects.c.state.in_(("done", "unknown"))
    return connection.execute(
        select(effects).where(effects.c.target == target, made, effects.c.undone_at.is_(None))
    ).all()


def effects_of_task(connection: Connection, run: str, task: str) -> Sequence[Row[Any]]:
    """What became of each host that a task of a run has come to so far."""
    return connection.execute(select(effects).where(effects.c.run == run, effects.c.task == task)).all()


def carried_out(connection: Connection, attempt: int) -> bool:
    """Whether the remedy was really tried: on every host that it was meant for, or until one of them failed."""
    row = get(connection, attempt)
    states = {effect.host: effect.state for effect in effects_of_task(connection, row.run, row.task)}
    return "failed" in states.values() or all(
        states.get(host) in ("done", "unchanged") for host in json.loads(row.hosts) or states
    )


def unwatched(connection: Connection, since: float) -> list[int]:
    """The remediations since then whose every act had ended, and of which nobody knows whether they helped."""
    query = select(attempts).where(attempts.c.outcome == "unknown", attempts.c.rung > 0, attempts.c.ended_at >= since)
    return [row.id for row in connection.execute(query.order_by(attempts.c.id)) if _ended(connection, row)]


def _ended(connection: Connection, attempt: Row[Any]) -> bool:
    made = effects_of_task(connection, attempt.run, attempt.task)
    seen = {
        row.host
        for row in made
        if row.undone_at is None and (row.state == "unchanged" or row.observed not in (None, "null"))
    }
    return bool(made) and seen.issuperset({*json.loads(attempt.hosts), *(row.host for row in made)})


def take_over(connection: Connection, now: float, attempt: int, lease_seconds: float) -> bool:
    """Hold the targets of an attempt whose run died; False where somebody holds one of them."""
    rows, row = effects_of(connection, attempt), get(connection, attempt)
    if any(holder(connection, one.target) for one in rows):
        return False
    for one in rows:
        connection.execute(
            insert(leases).values(
                target=one.target, attempt=attempt, service=row.service, run=row.run, token=one.id, taken_at=now,
                holder=_this_process(), expires_at=now + lease_seconds,
            )
        )  # fmt: skip
    return True


def let_go(connection: Connection, attempt: int) -> None:
    """Hold the targets of an attempt no longer, and say nothing of its outcome."""
    connection.execute(delete(leases).where(leases.c.attempt == attempt))


def complete(connection: Connection, request: Request) -> int | None:
    """The open attempt of this task once every one of its hosts was dealt with: whose evidence is due now."""
    row = of_task(connection, request.run, request.task)
    return row.id if row is not None and row.outcome is None and carried_out(connection, row.id) else None


def holder(connection: Connection, target: str, *, but: int | None = None) -> Holder | None:
    """Who holds a target, other than attempt `but`."""
    row = connection.execute(select(leases).where(leases.c.target == target)).one_or_none()
    if row is None or row.attempt == but:
        return None
    who = json.loads(row.holder)
    return Holder(
        row.attempt, row.run, f"run {row.run} on {who['machine']} (pid {who['pid']})", row.taken_at, row.expires_at
    )


def frozen(connection: Connection, target: str, *, but: int | None = None) -> int | None:
    """The attempt, other than `but`, whose unknown outcome freezes a target."""
    query = select(effects.c.attempt).where(
        effects.c.target == target, effects.c.state == "unknown", effects.c.undone_at.is_(None)
    )
    if but is not None:
        query = query.where(effects.c.attempt != but)
    return connection.execute(query.limit(1)).scalar()


def services_under_repair(connection: Connection, services: Sequence[str]) -> tuple[str, ...]:
    """Which of these services have a target held now."""
    rows = connection.execute(select(leases.c.service).where(leases.c.service.in_(services)).distinct())
    return tuple(sorted(rows.scalars()))


def reserve(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    request: Request,
    plan: Plan,
    *,
    symptom: str,
    rung: int,
    failure_class: str,
    automatic: bool,
    joined: int | None,
) -> int:
    """Count the attempt, or join the one that this task made on another host."""
    if joined is not None:
        return joined
    done = connection.execute(
        insert(attempts).values(
            plan=plan.digest,
            incident=request.incident,
            symptom=symptom,
            service=request.service,
            environment=request.environment,
            action=request.action,
            rung=rung,
            runbook=plan.runbook,
            runbook_digest=plan.runbook_digest,
            failure_class=failure_class,
            run=request.run,
            task=request.task,
            step=request.step,
            hosts=canonical(list(request.hosts)),
            automatic=automatic,
            started_at=now,
        )
    )
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def intend(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    attempt: int,
    request: Request,
    plan: Plan,
    *,
    contains: bool,
    lease_seconds: float,
) -> int:
    """Write the intent and take the lease; gives the effect's number, which is the fencing token too."""
    done = connection.execute(
        insert(effects).values(
            **_of_host(request, plan), attempt=attempt, state="intended", contains=contains, intended_at=now
        )
    )
    assert done.inserted_primary_key is not None
    token = int(done.inserted_primary_key[0])
    connection.execute(
        insert(leases).values(
            target=plan.target,
            attempt=attempt,
            service=request.service,
            run=request.run,
            token=token,
            holder=_this_process(),
            taken_at=now,
            expires_at=now + lease_seconds,
        )
    )
    return token


def note_unchanged(connection: Connection, now: float, request: Request, plan: Plan) -> None:
    """Record that a host is as wanted already, so that the hosts beside it need not wait for it."""
    connection.execute(
        insert(effects).values(
            **_of_host(request, plan), state="unchanged", contains=False, intended_at=now, ended_at=now
        )
    )


def _of_host(request: Request, plan: Plan) -> dict[str, str]:
    return {
        "run": request.run,
        "task": request.task,
        "host": request.host,
        "plan": plan.digest,
        "target": plan.target,
    }


def renew(connection: Connection, now: float, target: str, token: int, lease_seconds: float) -> None:
    """Hold the target for longer; Refused where it is no longer ours."""
    done = connection.execute(
        update(leases).where(leases.c.target == target, leases.c.token == token).values(expires_at=now + lease_seconds)
    )
    if done.rowcount != 1:
        raise Refused(f"the lease on {target} was taken over; this run may not act any more.", cure="responder status")


def end_effect(
    connection: Connection,
    now: float,
    effect: int,
    state: str,
    *,
    observed: Any = None,
    reason: str = "",
) -> bool:
    """Record what became of one host: done, failed, not_done or unknown. Only an open effect can end.

    False where a person settled it meanwhile, or where the database lost a transaction that it had confirmed.

    Its target stays held until the attempt ends: other hosts are still to come, or the evidence is watched.
    """
    done = connection.execute(
        update(effects)
        .where(effects.c.id == effect, effects.c.state.in_(("intended", "unknown")))
        .values(state=state, observed=canonical(observed), reason=reason[:1000], ended_at=now)
    )
    return done.rowcount == 1


def state_of(connection: Connection, effect: int) -> str | None:
    """What the ledger knows of an effect; None where it has lost the intent."""
    return connection.execute(select(effects.c.state).where(effects.c.id == effect)).scalar()


def hold_by_run(connection: Connection, run: str, token: int) -> None:
    """The process that acted on one host of several ends now; until the attempt does, its run holds the target."""
    row = connection.execute(select(runs).where(runs.c.id == run)).one()
    connection.execute(
        update(leases)
        .where(leases.c.token == token)
        .values(holder=_process(row.machine, row.pid, row.pid_started, row.space))
    )


def _this_process() -> str:
    return _process(MACHINE, os.getpid(), process.started(os.getpid()), process.space())


def _process(machine: str, pid: int, started: float, space: str | None) -> str:
    return canonical({"machine": machine, "pid": pid, "started": started, "space": space})


def end_attempt(  # noqa: PLR0913 - each is a column of one row
    connection: Connection, now: float, attempt: int, outcome: str, reason: str, actor: str,
    sampled: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Record the outcome of an attempt as the evidence gave it, and what was sampled for it."""
    row = get(connection, attempt)
    connection.execute(delete(leases).where(leases.c.attempt == attempt))
    connection.execute(
        update(attempts).where(attempts.c.id == attempt).values(outcome=outcome, ended_at=now, reason=reason[:1000])
    )
    audit.append(
        connection, now, "action.ended", actor, f"{row.action} on {row.service}: {outcome.replace('_', ' ')} ({reason})", incident=row.incident,
        notify="incident_commander" if outcome == "unknown" else None, run=row.run, attempt=attempt, outcome=outcome, action=row.action, rung=row.rung,
        **({"sampled": dict(sampled)} if sampled else {}),
    )  # fmt: skip


def settle(connection: Connection, attempt: int) -> None:
    """After a probe: an attempt whose effects are all known again was not made, or was made and its effect never measured."""
    states = {row.state for row in effects_of(connection, attempt)}
    if "unknown" not in states:
        outcome = "not_done" if states == {"not_done"} else "unmeasured"
        connection.execute(
            update(attempts)
            .where(attempts.c.id == attempt, attempts.c.outcome == "unknown")
            .values(outcome=outcome, reason="settled by its probe")
        )


def undone(connection: Connection, now: float, attempt: int, target: str) -> None:
    """Mark what an attempt did to a target as undone: it is neither contained nor frozen any more."""
    where = (effects.c.attempt == attempt, effects.c.target == target)
    connection.execute(update(effects).where(*where).values(undone_at=now))


def rolling_back_since(connection: Connection, run: str) -> float | None:
    """When the rollback that a run has under way began."""
    query = select(attempts.c.started_at).where(
        attempts.c.run == run, attempts.c.outcome.is_(None), attempts.c.rung == 3
    )
    return connection.execute(query.limit(1)).scalar()


def abandon(connection: Connection, now: float, run: str) -> None:
    """A run has ended: what it left open has an unknown outcome, and its targets are frozen."""
    query = select(attempts.c.id).where(attempts.c.run == run, attempts.c.outcome.is_(None))
    for attempt in connection.execute(query).scalars().all():
        freeze(connection, now, attempt, "the run ended before the outcome was known")
        end_attempt(connection, now, attempt, "unknown", "the run ended before the outcome was known", "responder")


def freeze(connection: Connection, now: float, attempt: int, reason: str) -> None:
    """Nobody knows what this attempt did: its targets stay frozen until a probe settles them."""
    connection.execute(
        update(effects)
        .where(effects.c.attempt == attempt, effects.c.state.in_(("intended", "done")))
        .values(state="unknown", reason=reason[:1000], ended_at=now)
    )


def get(connection: Connection, attempt: int) -> Row[Any]:
    return connection.execute(select(attempts).where(attempts.c.id == attempt)).one()


def unknown(connection: Connection) -> Sequence[Row[Any]]:
    """Effects whose outcome nobody knows: their targets are frozen."""
    query = select(effects).where(effects.c.state == "unknown", effects.c.undone_at.is_(None))
    return connection.execute(query.order_by(effects.c.id)).all()


def contained(connection: Connection) -> Sequence[Row[Any]]:
    """Containment that was done and not undone."""
    return connection.execute(
        select(effects)
        .where(effects.c.contains.is_(True), effects.c.undone_at.is_(None), effects.c.state == "done")
        .order_by(effects.c.id)
    ).all()


def held(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(leases).order_by(leases.c.taken_at)).all()


def reap(connection: Connection, now: float, is_alive: Callable[..., bool | None] = alive) -> list[int]:
    """Turn the intents of dead processes into unknown outcomes: proof of death frees the lease and freezes the target.

    A lease that only ran out is left: the clock is no proof. So is one of a run of which anything lives: a module may be at work
    for a worker that was killed.
    """
    dead = {
        row.attempt: f"process {who['pid']} on {who['machine']} died before the outcome was known"
        for row in held(connection)
        for who in [json.loads(row.holder)]
        if is_alive(**who) is False and not processes_of(row.run)
    }
    leased = {row.attempt for row in held(connection)}
    for row in connection.execute(
        select(attempts.c.id, attempts.c.run, runs.c.machine, runs.c.pid, runs.c.pid_started, runs.c.space)
        .outerjoin(runs, runs.c.id == attempts.c.run)
        .where(attempts.c.outcome.is_(None))
    ):
        dead_run = row.machine is None or is_alive(row.machine, row.pid, row.pid_started, row.space) is False
        if row.id not in leased and dead_run and not processes_of(row.run):
            dead[row.id] = "the run died before the evidence was read"
    for attempt, reason in dead.items():
        freeze(connection, now, attempt, reason)
        end_attempt(connection, now, attempt, "unknown", reason, "responder")
    return list(dead)
