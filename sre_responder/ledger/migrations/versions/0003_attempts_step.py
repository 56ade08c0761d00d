"""Attempts name the declared step that made them: two steps of one action on two targets are two remediations."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN step VARCHAR(64)")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN step")
