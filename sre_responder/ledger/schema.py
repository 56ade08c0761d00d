"""The tables of the ledger. Times are seconds since the epoch, UTC; JSON is canonical text."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("service", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("severity", String(8)),
    Column("title", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("failure_class", String(128)),
    Column("started_at", Float),
    Column("opened_at", Float, nullable=False),
    Column("closed_at", Float),
    Index("incidents_open", "status", "service", "environment"),
)

plans = Table(
    "plans",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("incident", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("service", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("document", Text, nullable=False),
    Column("gates", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("undo", Text, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("made_at", Float, nullable=False),
    Index("plans_waiting", "waiting", "made_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("decision", String(8), nullable=False),
    Column("person", String(64), nullable=False),
    Column("statement", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("signed_at", Float, nullable=False),
    Column("used_by", Integer),
    UniqueConstraint("nonce"),
    Index("approvals_plan", "plan"),
    Index("approvals_open", "used_by", "expires_at"),
)

signatures = Table(
    "signatures",
    metadata,
    Column("nonce", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("person", String(64), nullable=False),
    Column("statement", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("signed_at", Float, nullable=False),
    Index("signatures_subject", "kind", "subject", "signed_at"),
)
"""Attestations, resets and liftings: what people signed beside approvals."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("incident", String(16), nullable=False),
    Column("symptom", String(160), nullable=False),
    Column("service", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("rung", Integer, nullable=False),
    Column("runbook", String(64), nullable=False),
    Column("runbook_digest", String(64), nullable=False),
    Column("failure_class", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("task", String(64), nullable=False),
    Column("hosts", Text, nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", String(16)),
    Column("reason", Text),
    Column("step", String(64)),
    UniqueConstraint("run", "task", name="attempts_one_a_task"),
    Index("attempts_symptom", "symptom", "action", "started_at"),
    Index("attempts_incident", "incident", "started_at"),
    Index("attempts_rollbacks", "environment", "rung", "started_at"),
    Index("attempts_tested", "runbook_digest", "failure_class", "outcome", "ended_at"),
    Index("attempts_open", "outcome", "rung"),
)

effects = Table(
    "effects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt", Integer),
    Column("run", String(64), nullable=False),
    Column("task", String(64), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("target", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("observed", Text),
    Column("reason", Text),
    Column("contains", Boolean, nullable=False),
    Column("intended_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("undone_at", Float),
    UniqueConstraint("run", "task", "host", name="effects_one_a_host"),
    Index("effects_attempt", "attempt"),
    Index("effects_target", "target", "state"),
    Index("effects_contained", "contains", "undone_at"),
    Index("effects_state", "state"),
)
"""One row a host of a task: intended, done, failed, unknown, not_done, cut_short, or unchanged (as wanted before, no attempt).

`intended` is the durable intent.
"""

leases = Table(
    "leases",
    metadata,
    Column("target", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("service", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("token", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("taken_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

stops = Table(
    "stops",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("environment", String(16)),
    Column("service", String(64)),
    Column("source", String(8), nullable=False),
    Column("raised_at", Float, nullable=False),
    Column("lifted_at", Float),
    Column("lifted_by", String(64)),
    Index("stops_standing", "lifted_at"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident", String(16)),
    Column("runbook", String(64)),
    Column("service", String(64)),
    Column("environment", String(16)),
    Column("machine", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),
    Column("driven", Boolean, nullable=False),
    Column("requester", Text, nullable=False),
    Column("folder", Text),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("ending", String(16)),
    Column("halted_because", Text),
    Column("space", String(160)),
    Index("runs_standing", "ended_at"),
)

symptoms = Table(
    "symptoms",
    metadata,
    Column("symptom", String(160), primary_key=True),
    Column("healthy_since", Float),
    Column("last_healthy", Float),
    Column("recovered_at", Float),
)

known_good = Table(
    "known_good",
    metadata,
    Column("service", String(64), primary_key=True),
    Column("environment", String(16), primary_key=True),
    Column("document", Text, nullable=False),
    Column("at", Float, nullable=False),
)
"""How the objects of a service were when it was last measured healthy: one row a service, for only the last time counts."""

not_applicable = Table(
    "not_applicable",
    metadata,
    Column("incident", String(16), primary_key=True),
    Column("step", String(64), primary_key=True),
    Column("because", Text, nullable=False),
    Column("at", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("incident", String(16)),
    Column("type", String(64), nullable=False),
    Column("actor", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_incident", "incident", "type"),
)

chain = Table(
    "chain",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("id", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("boot", String(36), nullable=False, server_default=""),
    Column("wall", Float, nullable=False, server_default="0"),
    Column("uptime", Float, nullable=False, server_default="0"),
)
"""The head of the audit chain: one row, so that appending never scans and a cut tail shows; and what the clocks said then."""

archives = Table(
    "archives",
    metadata,
    Column("last_id", Integer, primary_key=True, autoincrement=False),
    Column("last_hash", String(64), nullable=False),
    Column("checksum", String(64), nullable=False),
    Column("at", Float, nullable=False),
)
"""Where the record begins now: what stood before was moved to files, and an entry of the chain says so."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("message", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("delivered_to", Text, nullable=False),
    Column("done_at", Float),
    Column("problems", Text, nullable=False, server_default="{}"),
    Index("outbox_waiting", "done_at", "next_at"),
)
"""`delivered_to`: the channels that took the message or that were given up; `problems`: by channel, why it did not take it."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("source", String(32), nullable=False),
    Column("sender", String(64), nullable=False),
    Column("alert", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("starts_at", Float, nullable=False),
    Column("ends_at", Float),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("incident", String(16)),
    Column("times", Integer, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Index("alerts_fingerprint", "fingerprint", "starts_at"),
    Index("alerts_outcome", "outcome", "last_at"),
    Index("alerts_last", "last_at"),
)
"""One row an alert from its start to its end, however often it is reported; `times` counts the reports."""

intake = Table(
    "intake",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("last", Text, nullable=False),
)
"""What is counted apart from the alerts: those received, and the requests that were turned away, by why."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("last_at", Float, nullable=False),
    Column("paged_at", Float),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("incident", String(16), nullable=False),
    Column("runbook", String(64), nullable=False),
    Column("service", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("queued_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("holder", Text),
    Column("seen_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("ending", String(16)),
    Index("jobs_open", "ended_at", "severity", "queued_at"),
    Index("jobs_incident", "incident"),
)
"""Runs that alerts ask for: they wait without a holder, run with one, and end."""
