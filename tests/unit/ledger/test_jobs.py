"""The queue: the most severe first, one a target, each job claimed by one process and settled when that process dies."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update
from support import ledgers

from sre_responder.errors import InputError
from sre_responder.ledger import Ledger, audit, incidents, jobs, schema
from sre_responder.ledger.schema import jobs as table

DEAD = {"machine": jobs.MACHINE, "pid": 1, "started": -1.0}


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    """A ledger with INC-00001, which is open."""
    made = ledgers.make(Ledger(ledger_url))
    with made.transaction() as connection:
        assert opened(made, connection) == "INC-00001"
    return made


def opened(ledger: Ledger, connection: Connection) -> str:
    about = {"service": "hello", "environment": "dev", "severity": "SEV3", "title": "t", "actor": "alert"}
    return incidents.open_(connection, ledger.now(connection), **about)[0]


def put(
    connection: Connection,
    severity: str = "SEV3",
    service: str = "hello",
    environment: str = "dev",
    incident: str = "INC-00001",
) -> int:
    return jobs.put(connection, 1.0, jobs.Wanted(incident, "r", service, environment, severity, confirmed=False))


def hold(connection: Connection, id: int, seen_at: float, tries: int = 1, **holder: Any) -> None:
    """Let a process hold the job that is proven dead, or as `holder` says."""
    held = json.dumps({**DEAD, "space": jobs.process.space(), **holder})
    connection.execute(update(table).where(table.c.id == id).values(holder=held, seen_at=seen_at, tries=tries))


def test_the_most_severe_comes_first_then_the_oldest_one_a_target(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        mild, worst = put(connection), put(connection, severity="SEV1")
        other, elsewhere = put(connection, service="other"), put(connection, environment="staging")
        assert [row.id for row in jobs.ready(connection, 9)] == [worst, other, elsewhere]
        assert [row.id for row in jobs.ready(connection, 1)] == [worst]
        assert jobs.claim(connection, 2.0, mild, 9) is None  # its target is that of a worse one
        assert jobs.claim(connection, 2.0, worst, 9) is not None
        assert jobs.claim(connection, 2.0, worst, 9) is None
        assert [row.id for row in jobs.ready(connection, 2)] == [other]
        jobs.end(connection, 3.0, worst, "healed")
        assert mild in {row.id for row in jobs.ready(connection, 9)}


def test_of_many_that_claim_one_job_one_has_it(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        id = put(connection)

    def claim(_: int) -> bool:
        with ledger.transaction() as connection:
            return jobs.claim(connection, 2.0, id, 4) is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(claim, range(6))) == 1


def test_a_job_whose_incident_was_closed_before_it_began_ends_without_a_run(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        id = put(connection)
        incidents.close(connection, ledger.now(connection), "INC-00001", "dana")
        assert jobs.claim(connection, ledger.now(connection), id, 4) is None
        row = jobs.get(connection, id)
        assert row is not None and row.ending == "not_needed"


def test_a_job_that_is_not_in_the_ledger_is_bad_input(ledger: Ledger) -> None:
    with ledger.transaction() as connection, pytest.raises(InputError, match="job 7 is not"):
        jobs.claim(connection, 1.0, 7, 4)


def test_a_process_that_died_gives_its_job_back_and_the_last_try_calls_a_person(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        id, now = put(connection), ledger.now(connection)
        hold(connection, id, now)
        jobs.settle(connection, now)
        assert [row.id for row in jobs.ready(connection, 1)] == [id]
        hold(connection, id, now, tries=jobs.TRIES)
        jobs.settle(connection, now)
        row = jobs.get(connection, id)
        assert row is not None and row.ending == "given_up" and jobs.open_now(connection) == []
        [entry] = audit.entries(connection, type="job.given_up")
        assert "responder run r --incident INC-00001" in entry.summary


@pytest.mark.parametrize(("silent_s", "given_up"), [(60, False), (600, True)])
def test_a_process_that_cannot_be_seen_keeps_its_job_until_it_falls_silent(
    ledger: Ledger, silent_s: float, given_up: bool
) -> None:
    with ledger.transaction() as connection:
        id, now = put(connection), ledger.now(connection)
        hold(connection, id, now - silent_s, machine="another")
        jobs.settle(connection, now)
        row = jobs.get(connection, id)
        assert row is not None and (row.ending == "given_up") == given_up
        assert row.holder is not None  # it never runs twice


def test_a_process_that_lives_keeps_its_job(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        id, now = put(connection), ledger.now(connection)
        assert jobs.claim(connection, now, id, 1) is not None
        jobs.settle(connection, now + 1e6)
        assert jobs.dead(connection, now) == [] and jobs.get(connection, id).ended_at is None  # type: ignore[union-attr]


def test_a_refused_job_resumes_once_for_each_approval_while_its_incident_is_open(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        number = opened(ledger, connection)
        id = put(connection, incident=number)
        jobs.end(connection, now + 1, id, "refused")
        plan = {"digest": "d" * 64, "incident": number, "made_at": now, "waiting": True}
        texts = dict.fromkeys(("action", "service", "environment", "document", "gates", "requester", "undo"), "x")
        connection.execute(insert(schema.plans).values(plan | texts))
        assert jobs.approved(connection, now + 2) == []
        row = {
            "plan": "d" * 64,
            "kind": "approval",
            "person": "dana",
            "statement": "",
            "signature": "",
            "expires_at": now + 100,
        }
        connection.execute(
            insert(schema.approvals).values(row | {"decision": "deny", "nonce": "1", "signed_at": now + 2})
        )
        assert jobs.approved(connection, now + 3) == []
        connection.execute(
            insert(schema.approvals).values(row | {"decision": "grant", "nonce": "2", "signed_at": now + 2})
        )
        assert jobs.approved(connection, now + 200) == []  # it is not valid any more
        again = put(connection, incident=number)
        assert jobs.approved(connection, now + 3) == []  # another job of the incident is behind it
        connection.execute(table.delete().where(table.c.id == again))
        jobs.resume(connection, now + 3)
        assert [one.id for one in jobs.ready(connection, 1)] == [id]
        jobs.end(connection, now + 4, id, "refused")  # it needs one more
        assert jobs.approved(connection, now + 5) == []
        connection.execute(
            insert(schema.approvals).values(row | {"decision": "grant", "nonce": "3", "signed_at": now + 6})
        )
        incidents.close(connection, now + 7, number, "dana")
        assert jobs.approved(connection, now + 8) == []


def at(connection: Connection, id: int, seconds: float) -> None:
    connection.execute(update(table).where(table.c.id == id).values(queued_at=seconds))


def test_a_machine_takes_only_what_is_its_own_and_counts_only_what_runs_on_it(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        worst, mine, other = put(connection, "SEV1"), put(connection, service="mine"), put(connection, service="other")

        def taken(limit: int) -> list[int]:
            return [row.id for row in jobs.ready(connection, limit, lambda row: row.id != worst)]

        assert (taken(9), taken(1)) == ([mine, other], [mine])
        hold(connection, worst, 1.0, machine="another")
        assert taken(1) == [mine]
        hold(connection, mine, 1.0)
        assert (taken(1), taken(2)) == ([], [other])


def test_what_waits_for_another_machine_does_not_go_first_here(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        put(connection, "SEV1", service="far")
        here = put(connection)
        assert jobs.claim(connection, 2.0, here, 1, lambda row: row.service) is not None


def waits(connection: Connection) -> list[audit.Entry]:
    return list(audit.entries(connection, type="job.waits"))


def test_a_job_that_no_machine_takes_calls_a_person_once(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        now, fresh, late = ledger.now(connection), put(connection), put(connection, service="far")
        at(connection, fresh, now)
        at(connection, late, now - jobs.WAIT_SECONDS - 1)
        for _ in range(2):
            jobs.page_overdue(connection, now, lambda row: "dmz")
        [entry] = waits(connection)
        assert entry.data["job"] == late and entry.summary.endswith("responder worker --label dmz")
        at(connection, late, now - jobs.WAIT_SECONDS - 2)  # it was queued once more, and waits again
        jobs.page_overdue(connection, now, lambda row: "")
        assert waits(connection)[-1].summary.endswith("responder worker") and len(waits(connection)) == 2


def test_a_job_that_waits_for_its_own_target_calls_nobody(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        now, runs, behind = ledger.now(connection), put(connection), put(connection)
        hold(connection, runs, now)
        at(connection, behind, now - jobs.WAIT_SECONDS - 1)
        assert jobs.overdue(connection, now) == []
        jobs.end(connection, now, runs, "healed")
        assert [row.id for row in jobs.overdue(connection, now)] == [behind]


def test_what_is_queued_again_waits_anew(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        now, id = ledger.now(connection), put(connection)
        hold(connection, id, now)
        jobs.settle(connection, now)
        assert jobs.overdue(connection, now + 1) == []
