"""The application's role on PostgreSQL: it decides and records, and it can neither change nor remove the record."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from support.postgresql import Server

from sre_responder.errors import InputError, LedgerUnavailable
from sre_responder.ledger import Ledger, audit, incidents, rights

FORBIDDEN = (
    "UPDATE audit SET summary = 'x'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "DELETE FROM chain",
    "DELETE FROM attempts",
    "DELETE FROM stops",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_append_only ON audit",
    "DROP TABLE audit",
    "UPDATE alembic_version SET version_num = 'x'",
)


@pytest.fixture
def application(postgresql: Server, database: str) -> Iterator[Ledger]:
    """The ledger as the application's role sees it."""
    owner, role = Ledger(database), f"app_{secrets.token_hex(6)}"
    owner.upgrade()
    postgresql.sql(f"CREATE ROLE {role} LOGIN")
    rights.grant(owner, role)
    name = str(make_url(database).database)
    yield Ledger(postgresql.url(name, role))
    postgresql.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", name)


def test_it_can_do_its_work(application: Ledger) -> None:
    with application.transaction() as connection:
        incidents.open_(
            connection, application.now(connection), service="checkout", environment="dev", severity="SEV3", title="x", actor="x"
        )  # fmt: skip
    assert audit.verify(application) == audit.Verdict(True, 1)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_it_cannot_change_or_remove_the_record(application: Ledger, statement: str) -> None:
    with application.transaction() as connection:
        audit.append(connection, 1.0, "note.added", "x", "y")
    with pytest.raises(LedgerUnavailable), application.transaction() as connection:
        connection.execute(text(statement))
    assert audit.verify(application) == audit.Verdict(True, 1)


def test_a_role_that_is_no_name_is_bad_input(database: str) -> None:
    with pytest.raises(InputError, match="not a name"):
        rights.grant(Ledger(database), "app; DROP TABLE audit")


def test_sqlite_has_no_roles() -> None:
    with pytest.raises(InputError, match="no roles"):
        rights.grant(Ledger("sqlite:////nowhere/l.db"), "app")
