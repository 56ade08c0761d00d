"""Plans in the ledger, what people signed about them, and what else people signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from sre_responder.errors import InputError, Refused
from sre_responder.home.people import Person
from sre_responder.ledger.schema import approvals, plans, signatures
from sre_responder.model.facts import Approval
from sre_responder.model.gate import Gate
from sre_responder.model.plan import Plan, canonical
from sre_responder.model.statement import Statement

_STANDING = 100
"""Approvals that hold at one time and are looked at for drift; more is no team."""
Verify = Callable[[Statement, str], Person]


def save(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    plan: Plan,
    incident: str,
    gates: Sequence[Gate],
    requester: str,
    undo: str,
    waiting: bool,
) -> None:
    """Keep a plan, so that it can be shown and approved; a plan made again keeps its first requester."""
    values = {"gates": canonical([gate.as_dict() for gate in gates]), "waiting": waiting, "made_at": now}
    done = connection.execute(update(plans).where(plans.c.digest == plan.digest).values(incident=incident, **values))
    if not done.rowcount:
        connection.execute(
            insert(plans).values(
                digest=plan.digest,
                incident=incident,
                action=plan.action,
                service=plan.service,
                environment=plan.environment,
                document=plan.model_dump_json(),
                requester=requester,
                undo=undo,
                **values,
            )
        )


def find(connection: Connection, prefix: str) -> Row[Any]:
    """The one plan whose digest begins so."""
    if not (8 <= len(prefix) <= 64 and all(c in "0123456789abcdef" for c in prefix)):
        raise InputError(
            f"plan '{prefix[:80]}' is not a plan's digest.", cure="Give at least 8 of its hexadecimal digits."
        )
    rows = connection.execute(select(plans).where(plans.c.digest.between(prefix, prefix + "g"))).all()
    if len(rows) != 1:
        raise InputError(f"{len(rows)} plans begin with {prefix}.", cure="See `responder approvals`.")
    return rows[0]


def approved_alike(connection: Connection, plan: Plan, now: float) -> Plan | None:
    """The newest other plan of the same action on the same service whose approval still holds: what this one drifted from."""
    standing = select(approvals.c.plan).where(
        approvals.c.used_by.is_(None), approvals.c.expires_at > now, approvals.c.decision == "grant"
    )
    digests = set(connection.execute(standing.limit(_STANDING)).scalars()) - {plan.digest}
    row = connection.execute(
        select(plans)
        .where(
            plans.c.digest.in_(digests), plans.c.service == plan.service, plans.c.environment == plan.environment,
            plans.c.action == plan.action,
        )
        .order_by(plans.c.made_at.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    return of(row) if row else None


def of(row: Row[Any]) -> Plan:
    """The plan of a row; its digest is checked, so that a changed document is never shown as the approved one."""
    plan = Plan.model_validate_json(row.document)
    if plan.digest != row.digest:
        raise Refused(
            f"plan {row.digest[:12]} in the ledger is not what its digest says.", cure="Run the runbook again."
        )
    return plan


def undoable(connection: Connection, digest: str) -> bool:
    """Whether a plan can be undone; one that is not known may be."""
    row = connection.execute(select(plans).where(plans.c.digest == digest)).one_or_none()
    return row is None or bool(of(row).undo)


def waiting(connection: Connection) -> Sequence[Row[Any]]:
    """Plans that wait for a person, oldest first."""
    return connection.execute(select(plans).where(plans.c.waiting.is_(True)).order_by(plans.c.made_at)).all()


def waits_no_longer(connection: Connection, digest: str) -> None:
    connection.execute(update(plans).where(plans.c.digest == digest).values(waiting=False))


def add_approval(connection: Connection, statement: Statement, signature: str) -> None:
    """Keep a verified decision; a statement used before is refused."""
    try:
        connection.execute(
            insert(approvals).values(
                plan=statement.subject,
                kind=statement.kind,
                decision=statement.decision,
                person=statement.person,
                statement=statement.text,
                signature=signature,
                nonce=statement.nonce,
                expires_at=statement.expires_at,
                signed_at=statement.signed_at,
            )
        )
    except IntegrityError as error:
        raise Refused("this approval was given before; each holds once.", cure="Sign a new one.") from error


def approvals_of(connection: Connection, digest: str, verify: Verify) -> tuple[Approval, ...]:
    """The decisions about a plan whose signatures hold now; a row that does not verify counts for nothing."""
    found = []
    for row in connection.execute(select(approvals).where(approvals.c.plan == digest).order_by(approvals.c.id)):
        try:
            statement = Statement.parse(row.statement)
            person = verify(statement, row.signature)
        except (InputError, Refused):
            continue
        own = (statement.subject, statement.nonce, statement.kind) == (digest, row.nonce, row.kind)
        if own and statement.kind in ("approval", "break_glass"):
            found.append(
                Approval(
                    row.id,
                    person.name,
                    person.roles,
                    statement.decision,
                    statement.signed_at,
                    statement.expires_at,
                    row.used_by is not None,
                )
            )
    return tuple(found)


def decided(connection: Connection, digest: str) -> tuple[frozenset[str], bool]:
    """Who approved a plan and has an approval left, and whether anybody denied it. To wait by; the guard verifies."""
    rows = connection.execute(select(approvals).where(approvals.c.plan == digest, approvals.c.used_by.is_(None))).all()
    return frozenset(r.person for r in rows if r.decision == "grant"), any(r.decision == "deny" for r in rows)


def needed(row: Row[Any]) -> int:
    """How many approvals the last refusal of a plan asked for."""
    gates = {gate["name"]: gate["evidence"] for gate in json.loads(row.gates)}
    return int(gates.get("approval", {}).get("needed", 1))


def use_approvals(connection: Connection, used: Sequence[Approval], attempt: int) -> None:
    """Bind approvals to the one attempt that they allow."""
    for approval in used:
        connection.execute(update(approvals).where(approvals.c.id == approval.id).values(used_by=attempt))


def add_signature(connection: Connection, statement: Statement, signature: str, **evidence: Any) -> None:
    """Keep a signed attestation, reset or lifting."""
    try:
        connection.execute(
            insert(signatures).values(
                nonce=statement.nonce,
                kind=statement.kind,
                subject=statement.subject,
                person=statement.person,
                statement=statement.text,
                signature=signature,
                evidence=canonical(evidence),
                signed_at=statement.signed_at,
            )
        )
    except IntegrityError as error:
        raise Refused("this signature was given before; each holds once.", cure="Sign a new one.") from error


def signed(connection: Connection, kind: str, subject: str, verify: Verify) -> tuple[Statement, dict[str, Any]] | None:
    """The newest statement of that kind about a subject whose signature holds now, with its evidence."""
    rows = connection.execute(
        select(signatures)
        .where(signatures.c.kind == kind, signatures.c.subject == subject)
        .order_by(signatures.c.signed_at.desc())
    )
    for row in rows:
        try:
            statement = Statement.parse(row.statement)
            verify(statement, row.signature)
        except (InputError, Refused):
            continue
        if (statement.kind, statement.subject) == (kind, subject):
            return statement, json.loads(row.evidence)
    return None
