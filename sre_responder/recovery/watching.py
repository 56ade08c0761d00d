"""Remediations whose run died before it knew whether they helped: measured now, and undone if things are no better."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection

from sre_responder.approvals import approval
from sre_responder.emergency import stop
from sre_responder.engine.health import Health
from sre_responder.engine.step.worse import note, wanted
from sre_responder.errors import ResponderError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit
from sre_responder.recovery.restore import restore


@dataclass(frozen=True)
class Watched:
    """What an attempt came to, and whether it was undone; `reason` says why, and why not where it was to be."""

    attempt: int
    outcome: str
    undone: bool
    reason: str


def carry_on(home: Home, ledger: Ledger) -> list[Watched]:
    """Judge each remediation that nobody could judge, as its own run would have done; gives what was found out.

    Only while nobody holds its target, no stop stands, and its runbook is registered as it was. What cannot be measured stays
    unknown and frozen until the next call. One older than the policy's window of rollbacks is left to people: too much may have
    happened to the service since.
    """
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        waiting = attempts.unwatched(connection, now - home.policy.rollbacks.window_minutes * 60)
        taken = [attempt for attempt in waiting if _taken(connection, now, home, attempt)]
    return [watched for attempt in taken if (watched := _watched(home, ledger, attempt))]


def _taken(connection: Connection, now: float, home: Home, attempt: int) -> bool:
    """Hold its targets, so that one process alone judges it; not where an undo of it was begun before."""
    made, policy = attempts.get(connection, attempt), home.policy
    begun = audit.entries(connection, incident=made.incident, type="undo.started")
    stops = stop.standing(
        connection, now, policy.stop.file, environment=made.environment, service=made.service, record=False
    )
    if stops or any(entry.data["attempt"] == attempt for entry in begun):
        return False
    return attempts.take_over(connection, now, attempt, policy.lease.seconds)


def _watched(home: Home, ledger: Ledger, attempt: int) -> Watched | None:
    """Measure the service for a whole watch; None where that gives no verdict."""
    with ledger.transaction(reading=True) as connection:
        made = attempts.get(connection, attempt)

    def stopped() -> bool:
        with ledger.transaction(reading=True) as connection:
            now, file = ledger.now(connection), home.policy.stop.file
            about = {"environment": made.environment, "service": made.service}
            return bool(stop.standing(connection, now, file, **about, record=False))

    try:
        runbook = home.runbooks.named(made.runbook)
        health = Health(home, ledger, runbook, made.service, made.environment, incident=made.incident)
        known = runbook.registered and runbook.digest == made.runbook_digest
        verdict = health.after(stopped) if known else None
    except ResponderError:
        verdict = None
    who = approval.requester(home.people)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if verdict is None or verdict.state not in ("improved", "not_improved"):
            attempts.let_go(connection, attempt)
            return None
        for effect in attempts.effects_of(connection, attempt):
            attempts.end_effect(connection, now, effect.id, "done", observed=json.loads(effect.observed))
        attempts.end_attempt(connection, now, attempt, verdict.state, verdict.reason, who, health.facts(verdict))
    if verdict.state == "improved" or not wanted(ledger, attempt):
        return Watched(attempt, verdict.state, False, verdict.reason)
    return _undone(home, ledger, attempt, verdict.reason)


def _undone(home: Home, ledger: Ledger, attempt: int, reason: str) -> Watched:
    who = approval.requester(home.people)
    note(ledger, who, attempt, "undo.started", f"attempt {attempt} made nothing better, and is undone")
    try:  # who approved it confirmed production for its undo too
        restore(home, ledger, attempt, confirm_production=True)
    except ResponderError as error:
        note(ledger, who, attempt, "undo.failed", f"attempt {attempt} is not undone: {error.message}")
        return Watched(attempt, "not_improved", False, f"{reason}; it could not be undone: {error.message}")
    return Watched(attempt, "not_improved", True, reason)
