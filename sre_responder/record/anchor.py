"""Anchors: the head of the record, signed and kept elsewhere (in Git), so that not even the database's owner rewrites it unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sre_responder.approvals import approval
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.documents import read_text
from sre_responder.home.people import Person
from sre_responder.ledger import Ledger, audit
from sre_responder.ledger.schema import archives, chain
from sre_responder.ledger.schema import audit as record
from sre_responder.model.plan import canonical
from sre_responder.model.statement import Statement


def make(home: Home, ledger: Ledger, person: Person, key: Path) -> dict[str, Any]:
    """Sign the head as it is now; keep what this gives in a file under version control."""
    with ledger.transaction(reading=True) as connection:
        head, now = connection.execute(select(chain)).one(), ledger.now(connection)
    subject = canonical({"id": head.id, "hash": head.hash})
    statement = approval.state("anchor", subject, person, now, 0)
    signature = approval.sign(statement, key)
    approval.verify(statement, signature, home.people)
    return {"statement": statement.text, "signature": signature}


def check(home: Home, ledger: Ledger, file: Path) -> audit.Verdict:
    """Whether the record still holds the anchored entry as it was signed: then nothing up to it has changed.

    InputError where the file is no anchor, Refused where its signature does not hold.
    """
    try:
        kept = json.loads(read_text(file))
        statement = Statement.parse(kept["statement"])
        head = json.loads(statement.subject)
        id, hash, signature = int(head["id"]), str(head["hash"]), str(kept["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no anchor.", cure="Make one with `responder audit anchor`.") from error
    if statement.kind != "anchor":
        raise InputError(f"{file} is no anchor but a signed {statement.kind}.", cure="Name an anchor.")
    approval.verify(statement, signature, home.people)
    whole = audit.verify(ledger)
    with ledger.transaction(reading=True) as connection:
        found = connection.execute(select(record.c.hash).where(record.c.id == id)).scalar()
        if found is None:
            found = connection.execute(select(archives.c.last_hash).where(archives.c.last_id == id)).scalar()
    if found == hash:
        return whole
    reason = "is not the entry that was signed" if found else "was signed and is not in the record"
    return audit.Verdict(False, min(whole.entries, id - 1), id, reason)
