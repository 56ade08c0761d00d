"""Alerts that were received and what became of each, heartbeats, and the queue of runs that they ask for."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """\
CREATE TABLE alerts (
    id SERIAL NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    source VARCHAR(32) NOT NULL,
    sender VARCHAR(64) NOT NULL,
    alert TEXT NOT NULL,
    title TEXT NOT NULL,
    starts_at FLOAT NOT NULL,
    ends_at FLOAT,
    outcome VARCHAR(16) NOT NULL,
    reason TEXT NOT NULL,
    incident VARCHAR(16),
    times INTEGER NOT NULL,
    first_at FLOAT NOT NULL,
    last_at FLOAT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX alerts_fingerprint ON alerts (fingerprint, starts_at);
CREATE INDEX alerts_outcome ON alerts (outcome, last_at);
CREATE INDEX alerts_last ON alerts (last_at);
CREATE TABLE intake (
    name VARCHAR(64) NOT NULL,
    count INTEGER NOT NULL,
    last_at FLOAT NOT NULL,
    last TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE heartbeats (
    name VARCHAR(64) NOT NULL,
    last_at FLOAT NOT NULL,
    paged_at FLOAT,
    PRIMARY KEY (name)
);
CREATE TABLE jobs (
    id SERIAL NOT NULL,
    incident VARCHAR(16) NOT NULL,
    runbook VARCHAR(64) NOT NULL,
    service VARCHAR(64) NOT NULL,
    environment VARCHAR(16) NOT NULL,
    severity VARCHAR(8) NOT NULL,
    confirmed BOOLEAN NOT NULL,
    queued_at FLOAT NOT NULL,
    tries INTEGER NOT NULL,
    holder TEXT,
    seen_at FLOAT,
    started_at FLOAT,
    ended_at FLOAT,
    ending VARCHAR(16),
    PRIMARY KEY (id)
);
CREATE INDEX jobs_open ON jobs (ended_at, severity, queued_at);
CREATE INDEX jobs_incident ON jobs (incident);
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    tables = TABLES.replace("SERIAL", "INTEGER") if sqlite else TABLES
    for statement in tables.split(";\n")[:-1]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("jobs", "heartbeats", "intake", "alerts"):
        op.execute(f"DROP TABLE {table}")
