"""How the objects of each service were when it was last measured healthy."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE known_good (service VARCHAR(64) NOT NULL, environment VARCHAR(16) NOT NULL,"
        " document TEXT NOT NULL, at FLOAT NOT NULL, PRIMARY KEY (service, environment))"
    )


def downgrade() -> None:
    op.execute("DROP TABLE known_good")
