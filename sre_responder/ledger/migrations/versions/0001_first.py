"""The first ledger: all tables, an audit that can only grow, and a head that only moves on by one."""

from __future__ import annotations

from alembic import op

from sre_responder.ledger import schema

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = "the audit is append-only"
ONE_BY_ONE = "the head of the audit moves on by one"


def upgrade() -> None:
    connection = op.get_bind()
    schema.metadata.create_all(connection)
    op.bulk_insert(schema.chain, [{"one": 1, "id": 0, "hash": "0" * 64, "at": 0.0}])
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


SQLITE = (
    f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END",
    f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END",
    f"CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, '{ONE_BY_ONE}'); END",
    "CREATE TRIGGER chain_one_by_one BEFORE UPDATE ON chain WHEN NEW.id <> OLD.id + 1 "
    f"BEGIN SELECT RAISE(ABORT, '{ONE_BY_ONE}'); END",
)
POSTGRESQL = (
    "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{APPEND_ONLY}'; END $$",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    "CREATE FUNCTION chain_one_by_one() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF TG_OP = 'UPDATE' AND NEW.id = OLD.id + 1 THEN RETURN NEW; END IF; "
    f"RAISE EXCEPTION '{ONE_BY_ONE}'; END $$",
    "CREATE TRIGGER chain_one_by_one BEFORE UPDATE OR DELETE ON chain FOR EACH ROW EXECUTE FUNCTION chain_one_by_one()",
)


def downgrade() -> None:
    raise NotImplementedError("the first ledger has no earlier state")
