"""What people decide: approve or deny a plan, attest a runbook, allow a trial, lift a stop. Signed, verified, recorded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select, update

from sre_responder.approvals import approval
from sre_responder.approvals.admissible import require_another
from sre_responder.emergency import cluster_stop, stop
from sre_responder.errors import EffectFailed, InputError, Refused
from sre_responder.home import Home
from sre_responder.home.people import Person
from sre_responder.ledger import Ledger, audit, clock, plans
from sre_responder.ledger.schema import stops
from sre_responder.model.facts import CLOCK_SLACK_SECONDS
from sre_responder.model.names import shown
from sre_responder.model.statement import Kind

ATTESTED_SECONDS = 365 * 86400
PAST: dict[Kind, str] = {
    "attest": "runbook.attested",
    "reset": "lockout.reset",
    "lift": "lift.signed",
    "review": "break_glass.reviewed",
}


def decide(  # noqa: PLR0913 - what a person says and who says it
    home: Home,
    ledger: Ledger,
    prefix: str,
    person: Person,
    key: Path,
    decision: Literal["grant", "deny"],
    note: str = "",
) -> dict[str, Any]:
    """Sign one person's decision about one plan."""
    with ledger.transaction(reading=True) as connection:
        row, now, ahead = plans.find(connection, prefix), ledger.now(connection), clock.ahead(connection)
        plan = plans.of(row)
    if decision == "grant" and ahead > CLOCK_SLACK_SECONDS:
        raise Refused(
            f"the ledger's last entry is dated {ahead / 60:.0f} min ahead of the clock, so this approval would not get older.",
            cure="Correct the clock that is wrong; where it was the one of that entry, wait until it is past.",
        )
    if decision == "grant":
        require_another(person, row.requester)
    statement = approval.state(
        "approval", plan.digest, person, now, home.policy.approvals.valid_minutes * 60, decision=decision, note=note
    )
    signature = approval.sign(statement, key)
    approval.verify(statement, signature, home.people)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        plans.add_approval(connection, statement, signature)
        if decision == "deny":
            plans.waits_no_longer(connection, plan.digest)
        word = {"grant": "granted", "deny": "denied"}[decision]
        audit.append(
            connection, now, f"approval.{word}", person.name, f"{person.name} {word} plan {plan.short}: {plan.action} on {plan.target}",
            incident=row.incident, notify="on_call", plan=plan.digest, person=person.name, expires_at=audit.iso(statement.expires_at), note=note,
        )  # fmt: skip
    return {
        "plan": plan.digest,
        "decision": decision,
        "person": person.name,
        "expires_at": audit.iso(statement.expires_at),
    }


def attest(home: Home, ledger: Ledger, runbook: str, person: Person, key: Path, evidence: str) -> dict[str, Any]:
    """Sign that a runbook, as it is now, was tried elsewhere; the tested gate then passes as attested."""
    entry = home.runbooks.named(runbook)
    if not evidence.strip():
        raise InputError("an attestation needs evidence.", cure="Give --evidence with the address of a protocol.")
    sign_and_keep(
        home,
        ledger,
        "attest",
        entry.digest,
        person,
        key,
        f"{person.name} attests runbook {runbook} at {entry.digest[:12]}: {evidence}",
        evidence,
    )
    return {"runbook": runbook, "digest": entry.digest, "person": person.name}


def reset(home: Home, ledger: Ledger, breaker: str, person: Person | None, key: Path | None) -> dict[str, Any]:
    """Authorize one supervised retry of a locked-out remediation; if the policy requires no approvals, no signature is needed."""
    if not home.policy.requires.approvals:
        who = approval.requester(home.people)
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            statement = approval.state("reset", breaker, Person(name=who, principal=who), now, ATTESTED_SECONDS)
            plans.add_signature(connection, statement, "", evidence="")
            audit.append(
                connection, now, PAST["reset"], who, f"{who} authorizes one supervised retry of {breaker}", subject=breaker
            )  # fmt: skip
        return {"breaker": breaker, "person": who}
    if person is None or key is None:
        raise Refused(f"opening {breaker} needs the signature of an incident commander.", cure="Add --as and --key.")
    approval.require_role(person, "incident_commander", "only an incident commander resets a lockout")
    sign_and_keep(
        home, ledger, "reset", breaker, person, key, f"{person.name} authorizes one supervised retry of {breaker}", ""
    )
    return {"breaker": breaker, "person": person.name}


def lift(home: Home, ledger: Ledger, name: str, person: Person | None, key: Path | None) -> dict[str, Any]:
    """Lift one stop; signed by the incident commander, except where the policy (homelab) asks for nobody."""
    number = name.removeprefix("STOP-")
    if not re.fullmatch(r"[0-9]{1,9}", number, re.ASCII):
        raise InputError(f"stop '{shown(name, 40)}' is not a stop's name.", cure="See `responder stops`.")
    with ledger.transaction(reading=True) as connection:
        row = connection.execute(
            select(stops).where(stops.c.id == int(number), stops.c.lifted_at.is_(None))
        ).one_or_none()
    if row is None:
        raise InputError(f"{name} does not stand.", cure="See `responder stops`.")
    if row.source == "file" and (found := stop.read_file(home.policy.stop.file)).state != "clear":
        raise Refused(f"the stop file still stands: {found.reason}.", cure=f"Delete {home.policy.stop.file} first.")
    actor = approval.requester(home.people)
    if home.policy.requires.commander_lifts_stop:
        if person is None or key is None:
            raise Refused(
                f"lifting {name} needs the signature of an incident commander.", cure="Add --as NAME and --key KEY."
            )
        approval.require_role(person, "incident_commander", "only an incident commander lifts a stop")
        sign_and_keep(home, ledger, "lift", name, person, key, f"{person.name} lifts {name}", "")
        actor = person.name
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        connection.execute(update(stops).where(stops.c.id == row.id).values(lifted_at=now, lifted_by=actor))
        audit.append(
            connection,
            now,
            "stop.lifted",
            actor,
            f"{name} lifted: {row.reason}",
            notify="incident_commander",
            stop=name,
        )
        every = connection.execute(select(stops)).all()
    done: dict[str, Any] = {"stop": name, "lifted_by": actor}
    clusters = home.policy.stop.clusters
    if clusters and stop.read_file(home.policy.stop.file).state == "clear":
        told = cluster_stop.release(clusters, row, every)
        cluster_stop.record(ledger, actor, name, told)
        done["clusters"] = told["done"] + told["left"]
        if told["left"]:
            raise EffectFailed(f"{name} is lifted; {'; '.join(told['left'])}", **done)
    return done


def sign_and_keep(  # noqa: PLR0913 - what is signed, and where it is kept
    home: Home,
    ledger: Ledger,
    kind: Kind,
    subject: str,
    person: Person,
    key: Path,
    summary: str,
    evidence: str,
) -> None:
    """Sign a statement about a subject, verify it as the guard will, and keep it on the record."""
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
    statement = approval.state(kind, subject, person, now, ATTESTED_SECONDS)
    signature = approval.sign(statement, key)
    approval.verify(statement, signature, home.people)
    with ledger.transaction() as connection:
        plans.add_signature(connection, statement, signature, evidence=evidence)
        audit.append(
            connection, ledger.now(connection), PAST[kind], person.name, summary, subject=subject, person=person.name
        )
