"""What the application's role may do on PostgreSQL: all that it needs, and never to change or remove the record."""

from __future__ import annotations

import re

from sqlalchemy import text

from sre_responder.errors import InputError
from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import metadata

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
_RIGHTS = {"audit": "SELECT, INSERT", "chain": "SELECT, UPDATE", "leases": "SELECT, INSERT, UPDATE, DELETE"}
_OTHERS = "SELECT, INSERT, UPDATE"


def grant(ledger: Ledger, role: str) -> dict[str, str]:
    """Give a role its rights, table by table, and take back all others; run as the owner of the tables."""
    if ledger.sqlite:
        raise InputError("SQLite has no roles.", cure="Protect the file by its owner and mode.")
    if not _ROLE.fullmatch(role):
        raise InputError(f"role '{role[:80]}' is not a name.", cure="Use lower case letters, digits and _.")
    rights = {name: _RIGHTS.get(name, _OTHERS) for name in metadata.tables} | {"alembic_version": "SELECT"}
    with ledger.transaction() as connection:
        for name, verbs in rights.items():
            connection.execute(text(f"REVOKE ALL ON {name} FROM {role}"))
            connection.execute(text(f"GRANT {verbs} ON {name} TO {role}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"))
    return rights
