"""Break-glass: an approval signed away from everything, carried as text, used once, and owed a review (spec section 4)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from sre_responder.approvals import approval
from sre_responder.approvals.admissible import require_another
from sre_responder.approvals.sign_off import sign_and_keep
from sre_responder.errors import InputError, Refused
from sre_responder.home import Home
from sre_responder.home.people import Person
from sre_responder.ledger import Ledger, audit, plans
from sre_responder.ledger.schema import approvals, signatures
from sre_responder.model.facts import CLOCK_SLACK_SECONDS
from sre_responder.model.statement import Statement

BEGIN, END = "-----BEGIN RESPONDER BREAK-GLASS-----", "-----END RESPONDER BREAK-GLASS-----"
_TEXT_LIMIT = 20_000


def sign(digest: str, person: str, key: Path, valid_minutes: int, reason: str) -> str:
    """One person's approval of a plan as text; needs the plan's whole digest, a key, and nothing else: no home, no ledger."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InputError("break-glass needs the plan's whole digest.", cure="Read all 64 digits from the refusal.")
    if not reason.strip():
        raise InputError("break-glass needs a reason.", cure="Give --reason; it is reviewed.")
    who = Person(name=person, principal=person)
    statement = approval.state("break_glass", digest, who, time.time(), valid_minutes * 60, note=reason)
    both = json.dumps({"statement": statement.text, "signature": approval.sign(statement, key)})
    lines = textwrap.wrap(base64.b64encode(both.encode()).decode(), 64)
    return "\n".join([BEGIN, *lines, END])


def read(text: str) -> tuple[Statement, str]:
    """Statement and signature from the text; whatever stands around its marks (a mail, a chat) is ignored."""
    inside = text[:_TEXT_LIMIT].partition(BEGIN)[2].partition(END)
    try:
        both = json.loads(base64.b64decode(re.sub(r"[>\s]", "", inside[0]), validate=True))  # as a mail quotes it
        statement, signature = Statement.parse(both["statement"]), str(both["signature"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise InputError("this is not a break-glass text.", cure=f"Paste it whole, from {BEGIN} to {END}.") from error
    if not inside[1] or statement.kind != "break_glass":
        raise InputError("this is not a whole break-glass text.", cure=f"Paste it whole, from {BEGIN} to {END}.")
    return statement, signature


def use(home: Home, ledger: Ledger, text: str) -> dict[str, Any]:
    """Accept a carried approval; from then on the guard counts it as any other, and its use is owed a review."""
    policy, (statement, signature) = home.policy.break_glass, read(text)
    if not policy.allowed:
        raise Refused("the policy does not allow break-glass.", cure="Approve with `responder approve`.")
    person = approval.verify(statement, signature, home.people)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        row = plans.find(connection, statement.subject)
        require_another(person, row.requester)
        if statement.signed_at > now + CLOCK_SLACK_SECONDS:
            raise Refused("this approval was signed in the future.", cure="Set the clock of that machine; sign again.")
        if statement.expires_at - statement.signed_at > policy.valid_minutes * 60 + 1:
            raise Refused(
                f"this approval is valid for longer than the policy's {policy.valid_minutes} minutes.",
                cure=f"Sign again with --valid-minutes {policy.valid_minutes}.",
            )
        if statement.expires_at <= now:
            raise Refused(f"this approval expired at {audit.iso(statement.expires_at)}.", cure="Sign a new one.")
        overdue = [debt for debt in owed(connection) if now - debt.since > policy.review_within_days * 86400]
        if overdue:
            raise Refused(
                f"{len(overdue)} earlier uses of break-glass were not reviewed within {policy.review_within_days} days.",
                cure=f"responder break-glass review {overdue[0].id} --note TEXT",
            )
        plans.add_approval(connection, statement, signature)
        audit.append(
            connection, now, "approval.break_glass", person.name, f"{person.name} approved plan {row.digest[:12]} by break-glass: {statement.note}",
            incident=row.incident, notify="incident_commander", plan=row.digest, nonce=statement.nonce,
        )  # fmt: skip
    return {"plan": row.digest, "person": person.name, "review": statement.nonce[:12]}


@dataclass(frozen=True)
class Debt:
    """One use of break-glass that nobody reviewed yet."""

    id: str
    nonce: str
    person: str
    plan: str
    since: float


def owed(connection: Connection) -> list[Debt]:
    """Every use that waits for its review, the oldest first."""
    reviewed = select(signatures.c.subject).where(signatures.c.kind == "review")
    rows = connection.execute(
        select(approvals)
        .where(approvals.c.kind == "break_glass", approvals.c.nonce.not_in(reviewed))
        .order_by(approvals.c.signed_at)
    )
    return [Debt(row.nonce[:12], row.nonce, row.person, row.plan, row.signed_at) for row in rows]


def review(home: Home, ledger: Ledger, id: str, person: Person, key: Path, note: str) -> dict[str, Any]:
    """Sign that a use of break-glass was looked at; by another person than the one who signed it."""
    if not note.strip():
        raise InputError("a review needs a note.", cure="Give --note: what was found.")
    with ledger.transaction(reading=True) as connection:
        found = [debt for debt in owed(connection) if debt.nonce.startswith(id)] if len(id) >= 8 else []
    if len(found) != 1:
        raise InputError(f"'{id[:40]}' names {len(found)} uses that wait for a review.", cure="See `responder status`.")
    if person.name == home.people.named(found[0].person).name:
        raise Refused(f"{person.name} signed this and cannot review their own use.", cure="Ask another person.")
    summary = f"{person.name} reviewed the break-glass of {found[0].person}: {note}"
    sign_and_keep(home, ledger, "review", found[0].nonce, person, key, summary, note)
    return {"reviewed": found[0].id, "person": person.name}
