"""Closing an incident: not while anything of it stands, and not while Git says something else than the cluster."""

from __future__ import annotations

from sqlalchemy import Connection

from sre_responder.effects import EFFECTS
from sre_responder.errors import InputError, Refused, ResponderError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans
from sre_responder.model import names
from sre_responder.model.plan import Plan
from sre_responder.record.handoff import handoff

STANDING = ("contained", "frozen", "held", "running")


def close(home: Home, ledger: Ledger, incident: str, who: str, *, in_sync: str = "") -> None:
    """Close an incident. Refused with the list of what stands, and with what differs from where it is written down.

    `in_sync` is the word of a person who looked there; it goes on the record, and nothing is queried.
    """
    names.incident(incident)
    with ledger.transaction(reading=True) as connection:
        changed = _changed(connection, incident)
    differing = [] if in_sync else [why for plan in changed if (why := _disagreement(plan))]
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        row = incidents.get(connection, incident)
        if row is None or row.status != "open":
            raise InputError(f"incident {incident} is not open.", cure="See `responder incident list`.")
        attempts.reap(connection, now)
        found = handoff(connection, home, incident)
        standing = [f"{name}: {', '.join(those)}" for name in STANDING if (those := getattr(found, name))]
        if standing or differing:
            agree = f"Let Git say what runs, or say that it does: responder incident close {incident} --in-sync HOW"
            raise Refused(
                f"{incident} cannot be closed; {'; '.join([*standing, *differing])}.",
                cure="responder status" if standing else agree,
            )
        if in_sync:
            audit.append(
                connection,
                now,
                "incident.in_sync",
                who,
                f"{who} says that Git and the cluster match: {in_sync}",
                incident=incident,
            )
        incidents.close(connection, now, incident, who)


def _changed(connection: Connection, incident: str) -> list[Plan]:
    """What was done to each target last, and is not undone."""
    last = {
        row.target: row.plan
        for attempt in attempts.of_incident(connection, incident)
        for row in attempts.effects_of(connection, attempt.id)
        if row.state == "done" and row.undone_at is None
    }
    return [plans.of(plans.find(connection, digest)) for digest in last.values()]


def _disagreement(plan: Plan) -> str | None:
    """Why what the plan changed and where it is written down differ. What cannot be asked may."""
    effect = EFFECTS.get(plan.action)
    try:
        return effect.disagreement({**plan.arguments, "_target": plan.target}) if effect else None
    except ResponderError as error:
        return f"whether Git says the same as {plan.target} is not known: {error.message}"
