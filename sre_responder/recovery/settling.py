"""Settling an unknown outcome: a read-only probe tells what happened, or a person who looked does; then the target is free."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select

from sre_responder.approvals import approval
from sre_responder.effects import by_state, change_of
from sre_responder.errors import InputError, OutcomeUnknown, Refused, ResponderError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, clock, plans, runs
from sre_responder.ledger.schema import effects
from sre_responder.model import names
from sre_responder.recovery import probe
from sre_responder.system.prove import processes_of

HOW = {"done": "it was done", "not_done": "it was not done", "cut_short": "it was begun and cut short"}


def settle(home: Home, ledger: Ledger, target: str, *, verified: bool = False) -> dict[str, Any]:
    """What became of the action that froze `target`.

    Where the probe cannot tell, the word of a person who `verified` it counts, on the record. InputError where nothing is frozen
    there, OutcomeUnknown where nobody can tell, or where what acted on it may still be at work.
    """
    who = approval.requester(home.people)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        row = _frozen(connection, target)
        if row is None and verified:
            row = _lost(connection, now, target, who, home.policy.lease.seconds)
        if row is None:
            _require_rest(connection, target)
            raise InputError(
                f"target '{names.shown(target)}' is not frozen.",
                cure="See `responder status`. A target that a lost machine holds is settled with --verified.",
            )
        run = runs.get(connection, attempts.get(connection, row.attempt).run)
        plan = plans.of(plans.find(connection, row.plan))
        acted = plan if plan.action != "undo" else plans.of(plans.find(connection, str(plan.arguments["plan"])))
    if living := processes_of(run.id) if run is not None and runs.here(run) else []:
        raise OutcomeUnknown(
            f"{plan.action} on {target} may still be at work: pid {living[0].pid} of its run lives ({living[0].command}).",
            cure="Wait until it has ended, or end it; then settle again.",
        )
    observed = json.loads(row.observed or "null")
    became, how, state = None, f"{who} checked it and says that it is correct", None
    try:
        state = probe.state(home, acted, row.host)
        became = probe.became(acted, state) if acted is plan else by_state(change_of(plan), state)
        reason = f"its state, {state}, does not tell"
    except ResponderError as error:
        reason = str(error)
    else:
        if became:
            how = HOW[became]
        elif observed is not None:  # whoever died after that was watching whether it helped
            became, how = "done", "its act had ended, says the record"
    if became is None and not verified:
        raise OutcomeUnknown(
            f"the probe of {target} cannot tell what became of {plan.action}: {reason}.",
            cure=f"Look at the target; once it is as it should be: responder settle '{target}' --verified",
        )
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        seen = state if observed is None else observed
        attempts.end_effect(connection, now, row.id, became or "done", observed=seen, reason=how)
        attempts.settle(connection, row.attempt)
        if acted is not plan and became == "done":
            attempts.undone(connection, now, int(plan.arguments["attempt"]), target)
        audit.append(
            connection, now, "outcome.settled", who, f"{plan.action} on {target}: {how}",
            incident=attempts.get(connection, row.attempt).incident, attempt=row.attempt, became=became, target=target,
        )  # fmt: skip
    return {"target": target, "happened": became != "not_done" if became else None, "became": became, "how": how}


def _require_rest(connection: Connection, target: str) -> None:
    """OutcomeUnknown where whoever held the target is dead, and what it began for its run still lives."""
    holder = attempts.holder(connection, target)
    if holder is None or any(runs.alive(**one) is not False for one in runs.holders(connection, holder.run)):
        return
    if living := processes_of(holder.run):
        raise OutcomeUnknown(
            f"{holder.who} died, and pid {living[0].pid} of its run lives ({living[0].command}) and may still change {target}.",
            cure="Wait until it has ended, or end it with `responder stop`; then settle again.",
        )


def _frozen(connection: Connection, target: str) -> Row[Any] | None:
    query = select(effects).where(
        effects.c.target == target, effects.c.state == "unknown", effects.c.undone_at.is_(None)
    )
    return connection.execute(query.order_by(effects.c.id.desc()).limit(1)).one_or_none()


def _lost(connection: Connection, now: float, target: str, who: str, lease_seconds: float) -> Row[Any] | None:
    """A target whose holder is on a machine that cannot be asked: after its lease ran out, a person's word ends the attempt."""
    holder = attempts.holder(connection, target)
    if holder is None:
        return None
    run = runs.get(connection, holder.run)
    if run is not None and runs.here(run):
        raise Refused(f"{holder.who} holds {target} and lives.", cure="Wait for it, or end it with `responder stop`.")
    if holder.expires_at - lease_seconds > clock.began(connection, now, lease_seconds):
        raise Refused(
            f"{holder.who} holds {target} until {audit.iso(holder.expires_at)}.", cure="Settle it after that time."
        )
    reason = f"{who} says that {holder.who} is gone"
    attempts.freeze(connection, now, holder.attempt, reason)
    attempts.end_attempt(connection, now, holder.attempt, "unknown", reason, who)
    return _frozen(connection, target)
