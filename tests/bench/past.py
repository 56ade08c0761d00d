"""A long past for a ledger, written at once instead of entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, String, Table, case, cast, false, insert, literal, select, text
from sqlalchemy.sql.elements import ColumnElement

from bench.question import FAILURE_CLASS
from sre_responder.ledger import Ledger, audit
from sre_responder.ledger import schema as s

YEAR, DAY = 366 * 86400.0, 86400.0
SERVICES, RUNBOOKS, PER_INCIDENT = 100, 10, 4

Rows = Mapping[Table, Mapping[str, ColumnElement[Any]]]


def write(ledger: Ledger, size: int, digest: str) -> None:
    """So many attempts, their effects and plans, over a year that ended yesterday, and as many entries of the record.

    Every incident took four attempts, of which the last, a rollback, helped. A hundredth of all is by each service,
    half of it in production, where each plan was approved; a tenth is by the runbook of `digest`.
    """
    numbers = select(literal(1).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < size))
    with ledger.transaction() as connection, _unguarded(connection):
        now, first = ledger.now(connection), audit.last(connection)
        for table, row in _rows(numbers.c.number, now, size, digest, first).items():
            connection.execute(insert(table).from_select(list(row), select(*row.values())))
        approved = _approvals(now)
        connection.execute(insert(s.approvals).from_select(approved.selected_columns.keys(), approved))
        symptoms = select(s.attempts.c.symptom, literal(now - DAY).label("recovered_at")).distinct()
        connection.execute(insert(s.symptoms).from_select(["symptom", "recovered_at"], symptoms))
        newest = select(s.audit.c.id, s.audit.c.hash).where(s.audit.c.id == first + size)
        connection.execute(s.chain.update().values(connection.execute(newest).one()._asdict()))
    if not ledger.sqlite:  # its autovacuum does so within minutes
        with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")


def _rows(number: ColumnElement[int], now: float, size: int, digest: str, first: int) -> Rows:
    """Table to the row that each number from 1 on stands for."""

    def named(word: str, of: ColumnElement[int]) -> ColumnElement[str]:
        return literal(word) + cast(of, String)

    incident, last = number // PER_INCIDENT, number % PER_INCIDENT == PER_INCIDENT - 1
    environment = case((incident // SERVICES % 2 == 1, literal("production")), else_=literal("staging"))
    service, at = named("service-", incident % SERVICES), literal(now - YEAR) + number * ((YEAR - DAY) / size)
    plan, hashed = (named("0" * 50 + kind, 100_000_000 + number) for kind in ("plan-", "hash-"))
    this = {"plan": plan, "run": named("past-", incident), "task": named("task-", number)}
    there = {
        "service": service, "environment": environment, "incident": named("INC-", 10_000_000 + incident),
        "action": case((last, literal("release_rollback")), else_=literal("http_cache_purge")),
    }  # fmt: skip
    return {
        s.attempts: {
            **this, **there, "symptom": environment + ":" + service + f":{FAILURE_CLASS}",
            "rung": case((last, 3), else_=1), "runbook": literal("purge"), "failure_class": literal(FAILURE_CLASS),
            "runbook_digest": case((incident % RUNBOOKS == 0, literal(digest)), else_=named("r-", incident % RUNBOOKS)),
            "hosts": literal('["localhost"]'), "automatic": environment == "staging", "started_at": at, "ended_at": at,
            "outcome": case((last, literal("improved")), else_=literal("not_improved")),
        },
        s.effects: {
            **this, "attempt": number, "host": literal("localhost"), "target": literal("http_cache:") + service,
            "state": literal("done"), "observed": literal('{"kept":false}'), "contains": false(),
            "intended_at": at, "ended_at": at,
        },
        s.plans: {
            **there, "digest": plan, "document": literal("{}"), "gates": literal("[]"), "undo": literal(""),
            "requester": literal("dana"), "waiting": false(), "made_at": at,
        },
        s.audit: {
            "id": number + first, "at": literal(audit.iso(now - DAY)), "incident": there["incident"],
            "type": literal("action.ended"), "actor": literal("dana"), "summary": there["action"],
            "data": literal("{}"), "prev_hash": hashed, "hash": hashed,
        },
    }  # fmt: skip


def _approvals(now: float) -> Select[Any]:
    """An approval, used, of each plan for production."""
    words = {"kind": "approval", "decision": "grant", "person": "iris", "statement": "", "signature": ""}
    plan, constant = s.attempts.c.plan, [literal(word).label(name) for name, word in words.items()]
    times = [s.attempts.c.started_at.label(name) for name in ("signed_at", "expires_at")]
    used = s.attempts.c.id.label("used_by")
    return select(plan, plan.label("nonce"), *constant, *times, used).where(s.attempts.c.environment == "production")


def write_chain(ledger: Ledger, size: int) -> None:
    """So many entries of the record, each hashed with the one before it."""
    with ledger.transaction() as connection, _unguarded(connection):
        at, before, rows = audit.iso(ledger.now(connection)), audit.GENESIS, []
        data = '{"action":"http_cache_purge","attempt":1,"host":"localhost","outcome":"not_improved","rung":1}'
        for id in range(1, size + 1):
            fields = (id, at, "INC-1234", "action.ended", "dana", "http_cache_purge: not improved", data, before)
            before = audit.digest(*fields)
            rows.append(dict(zip(s.audit.c.keys(), (*fields, before), strict=True)))
        connection.execute(insert(s.audit), rows)
        connection.execute(s.chain.update().values(id=size, hash=before))


@contextmanager
def _unguarded(connection: Connection) -> Iterator[None]:
    """Within it nothing watches over the record, and no statement takes too long."""
    if connection.dialect.name == "sqlite":
        triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        off, on = [f"DROP TRIGGER {trigger.name}" for trigger in triggers], [trigger.sql for trigger in triggers]
    else:
        tables = (s.audit.name, s.chain.name)
        off, on = ([f"ALTER TABLE {name} {word} TRIGGER USER" for name in tables] for word in ("DISABLE", "ENABLE"))
        off.append("SET LOCAL statement_timeout = 0")
    for statement in off:
        connection.exec_driver_sql(statement)
    yield
    for statement in on:
        connection.exec_driver_sql(statement)
