"""Alembic's entry: migrates through the engine that the ledger hands over."""

from __future__ import annotations

from alembic import context

from sre_responder.ledger import schema

with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=schema.metadata)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
