"""The head of the chain says what the clocks of the machine said, so that a jump of one shows."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE chain ADD COLUMN boot VARCHAR(36) NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE chain ADD COLUMN wall FLOAT NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE chain ADD COLUMN uptime FLOAT NOT NULL DEFAULT 0")


def downgrade() -> None:
    for column in ("boot", "wall", "uptime"):
        op.execute(f"ALTER TABLE chain DROP COLUMN {column}")
