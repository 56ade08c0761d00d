"""A run names the boot and the namespaces in which its process has its number: elsewhere that number proves nothing."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN space VARCHAR(160)")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP COLUMN space")
