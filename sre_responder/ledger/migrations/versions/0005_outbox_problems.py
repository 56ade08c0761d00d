"""Why a channel has not taken a message is kept with the message."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE outbox ADD COLUMN problems TEXT NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE outbox DROP COLUMN problems")
