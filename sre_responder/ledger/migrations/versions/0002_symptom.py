"""An incident is joined by the class of its failure, not by the labels of the first alert."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE incidents RENAME COLUMN fingerprint TO failure_class")


def downgrade() -> None:
    op.execute("ALTER TABLE incidents RENAME COLUMN failure_class TO fingerprint")
