"""The first ledger: all tables, an audit that can only grow, and a head that only moves on by one.

Frozen: a later ledger is a later migration, whatever `schema.py` says then.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = "the audit is append-only"
ONE_BY_ONE = "the head of the audit moves on by one"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    tables = TABLES.replace("SERIAL", "INTEGER") if sqlite else TABLES
    for statement in (*tables.split(";\n")[:-1], HEAD, *(SQLITE if sqlite else POSTGRESQL)):
        op.execute(statement)


TABLES = """\
CREATE TABLE incidents (
    id VARCHAR(16) NOT NULL,
    service VARCHAR(64) NOT NULL,
    environment VARCHAR(16) NOT NULL,
    severity VARCHAR(8),
    title TEXT NOT NULL,
    status VARCHAR(16) NOT NULL,
    fingerprint VARCHAR(128),
    started_at FLOAT,
    opened_at FLOAT NOT NULL,
    closed_at FLOAT,
    PRIMARY KEY (id)
);
CREATE INDEX incidents_open ON incidents (status, service, environment);
CREATE TABLE plans (
    digest VARCHAR(64) NOT NULL,
    incident VARCHAR(16) NOT NULL,
    action VARCHAR(64) NOT NULL,
    service VARCHAR(64) NOT NULL,
    environment VARCHAR(16) NOT NULL,
    document TEXT NOT NULL,
    gates TEXT NOT NULL,
    requester TEXT NOT NULL,
    undo TEXT NOT NULL,
    waiting BOOLEAN NOT NULL,
    made_at FLOAT NOT NULL,
    PRIMARY KEY (digest)
);
CREATE INDEX plans_waiting ON plans (waiting, made_at);
CREATE TABLE approvals (
    id SERIAL NOT NULL,
    "plan" VARCHAR(64) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    decision VARCHAR(8) NOT NULL,
    person VARCHAR(64) NOT NULL,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL,
    nonce VARCHAR(64) NOT NULL,
    expires_at FLOAT NOT NULL,
    signed_at FLOAT NOT NULL,
    used_by INTEGER,
    PRIMARY KEY (id),
    UNIQUE (nonce)
);
CREATE INDEX approvals_open ON approvals (used_by, expires_at);
CREATE INDEX approvals_plan ON approvals ("plan");
CREATE TABLE signatures (
    nonce VARCHAR(64) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    subject TEXT NOT NULL,
    person VARCHAR(64) NOT NULL,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL,
    evidence TEXT NOT NULL,
    signed_at FLOAT NOT NULL,
    PRIMARY KEY (nonce)
);
CREATE INDEX signatures_subject ON signatures (kind, subject, signed_at);
CREATE TABLE attempts (
    id SERIAL NOT NULL,
    "plan" VARCHAR(64) NOT NULL,
    incident VARCHAR(16) NOT NULL,
    symptom VARCHAR(160) NOT NULL,
    service VARCHAR(64) NOT NULL,
    environment VARCHAR(16) NOT NULL,
    action VARCHAR(64) NOT NULL,
    rung INTEGER NOT NULL,
    runbook VARCHAR(64) NOT NULL,
    runbook_digest VARCHAR(64) NOT NULL,
    failure_class VARCHAR(64) NOT NULL,
    run VARCHAR(64) NOT NULL,
    task VARCHAR(64) NOT NULL,
    hosts TEXT NOT NULL,
    automatic BOOLEAN NOT NULL,
    started_at FLOAT NOT NULL,
    ended_at FLOAT,
    outcome VARCHAR(16),
    reason TEXT,
    PRIMARY KEY (id),
    CONSTRAINT attempts_one_a_task UNIQUE (run, task)
);
CREATE INDEX attempts_incident ON attempts (incident, started_at);
CREATE INDEX attempts_open ON attempts (outcome, rung);
CREATE INDEX attempts_rollbacks ON attempts (environment, rung, started_at);
CREATE INDEX attempts_symptom ON attempts (symptom, action, started_at);
CREATE INDEX attempts_tested ON attempts (runbook_digest, failure_class, outcome, ended_at);
CREATE TABLE effects (
    id SERIAL NOT NULL,
    attempt INTEGER,
    run VARCHAR(64) NOT NULL,
    task VARCHAR(64) NOT NULL,
    "plan" VARCHAR(64) NOT NULL,
    host VARCHAR(255) NOT NULL,
    target TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    observed TEXT,
    reason TEXT,
    contains BOOLEAN NOT NULL,
    intended_at FLOAT NOT NULL,
    ended_at FLOAT,
    undone_at FLOAT,
    PRIMARY KEY (id),
    CONSTRAINT effects_one_a_host UNIQUE (run, task, host)
);
CREATE INDEX effects_attempt ON effects (attempt);
CREATE INDEX effects_contained ON effects (contains, undone_at);
CREATE INDEX effects_state ON effects (state);
CREATE INDEX effects_target ON effects (target, state);
CREATE TABLE leases (
    target TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    service VARCHAR(64) NOT NULL,
    run VARCHAR(64) NOT NULL,
    token INTEGER NOT NULL,
    holder TEXT NOT NULL,
    taken_at FLOAT NOT NULL,
    expires_at FLOAT NOT NULL,
    PRIMARY KEY (target)
);
CREATE TABLE stops (
    id SERIAL NOT NULL,
    holder VARCHAR(64) NOT NULL,
    reason TEXT NOT NULL,
    environment VARCHAR(16),
    service VARCHAR(64),
    source VARCHAR(8) NOT NULL,
    raised_at FLOAT NOT NULL,
    lifted_at FLOAT,
    lifted_by VARCHAR(64),
    PRIMARY KEY (id)
);
CREATE INDEX stops_standing ON stops (lifted_at);
CREATE TABLE runs (
    id VARCHAR(64) NOT NULL,
    incident VARCHAR(16),
    runbook VARCHAR(64),
    service VARCHAR(64),
    environment VARCHAR(16),
    machine VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    pid_started FLOAT NOT NULL,
    driven BOOLEAN NOT NULL,
    requester TEXT NOT NULL,
    folder TEXT,
    started_at FLOAT NOT NULL,
    ended_at FLOAT,
    ending VARCHAR(16),
    halted_because TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX runs_standing ON runs (ended_at);
CREATE TABLE symptoms (
    symptom VARCHAR(160) NOT NULL,
    healthy_since FLOAT,
    last_healthy FLOAT,
    recovered_at FLOAT,
    PRIMARY KEY (symptom)
);
CREATE TABLE not_applicable (
    incident VARCHAR(16) NOT NULL,
    step VARCHAR(64) NOT NULL,
    because TEXT NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (incident, step)
);
CREATE TABLE audit (
    id INTEGER NOT NULL,
    at VARCHAR(32) NOT NULL,
    incident VARCHAR(16),
    type VARCHAR(64) NOT NULL,
    actor TEXT NOT NULL,
    summary TEXT NOT NULL,
    data TEXT NOT NULL,
    prev_hash VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX audit_incident ON audit (incident, type);
CREATE TABLE chain (
    one SERIAL NOT NULL,
    id INTEGER NOT NULL,
    hash VARCHAR(64) NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (one)
);
CREATE TABLE archives (
    last_id INTEGER NOT NULL,
    last_hash VARCHAR(64) NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    at FLOAT NOT NULL,
    PRIMARY KEY (last_id)
);
CREATE TABLE outbox (
    id SERIAL NOT NULL,
    message TEXT NOT NULL,
    made_at FLOAT NOT NULL,
    tries INTEGER NOT NULL,
    next_at FLOAT NOT NULL,
    delivered_to TEXT NOT NULL,
    done_at FLOAT,
    PRIMARY KEY (id)
);
CREATE INDEX outbox_waiting ON outbox (done_at, next_at);
"""
HEAD = f"INSERT INTO chain (one, id, hash, at) VALUES (1, 0, '{'0' * 64}', 0)"
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
