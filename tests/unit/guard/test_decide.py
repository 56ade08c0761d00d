"""The decision in one transaction: what it reserves, what it refuses, and who wins a race of real processes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import update
from support import ledgers

from sre_responder.guard.decide import OtherHostAtWork, decide
from sre_responder.home import Home, find, runbook
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans, runs, schema
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request

PLAY = """\
- name: Purge
  hosts: localhost
  vars:
    runbook: {id: purge, failure_class: stale, success: {expect: ok}}
  tasks:
    - {name: Look, sre.responder.diagnose: }
    - {name: Purge, sre.responder.http_cache_purge: }
"""
SERVICE = {
    "apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "checkout"}, "spec": {"type": "service"},
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, ledger_url: str) -> Home:
    folder = tmp_path / "home"
    (folder / "runbooks" / "purge").mkdir(parents=True)
    (tmp_path / "stop").mkdir()
    stop = {"stop": {"file": str(tmp_path / "stop" / "EMERGENCY_STOP")}}
    (folder / "policy.yml").write_text(yaml.safe_dump({"profile": "production", **stop}))
    (folder / "catalogue.yml").write_text(yaml.safe_dump(SERVICE))
    (folder / "runbooks" / "purge" / "runbook.yml").write_text(PLAY)
    runbook.register(folder, [folder / "runbooks" / "purge"])
    here = find({"HOME": str(tmp_path), "RESPONDER_HOME": str(folder), "RESPONDER_LEDGER": ledger_url})
    prepare(Ledger(here.ledger_url))
    return here


def prepare(ledger: Ledger) -> None:
    """An open incident whose scope was identified."""
    ledgers.make(ledger)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        incidents.open_(
            connection, now, id="INC-1234", service="checkout", environment="staging", severity="SEV4", title="x", actor="x"
        )  # fmt: skip
        audit.append(connection, now, "scope.identified", "x", "seen", incident="INC-1234")


def asked(book: Runbook, number: int, **changes: Any) -> tuple[Request, Plan]:
    """The same remedy for the same symptom in a run of its own, on a target of its own."""
    step = next(task for task in book.tasks if task.action)
    request = Request(
        action="http_cache_purge", incident="INC-1234", service="checkout", environment="staging", confirm_production=False,
        run=f"run-{number}", task="task", step=step.digest, host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    plan = Plan(
        incident="INC-1234", runbook="purge", runbook_digest=book.digest, action="http_cache_purge", arguments={}, service="checkout",
        environment="staging", target=f"http_cache:{number}", before={"kept": True}, after={"kept": False},
    )  # fmt: skip
    return replace(request, **changes), plan


def ask(home: Home, number: int, *, target: str = "", **changes: Any) -> Any:
    book = home.runbooks.named("purge")
    request, plan = asked(book, number, **changes)
    plan = plan.model_copy(update={"target": target or plan.target})
    ledger = Ledger(home.ledger_url)
    with ledger.transaction() as connection:
        runs.begin(connection, ledger.now(connection), request.run, driven=False, requester="dana")
    return decide(home, ledger, request, plan, book, measured=True)


def refused_by(decision: Any) -> list[str]:
    return [gate.name for gate in decision.refusals]


def finish(home: Home, decision: Any, state: str = "done") -> None:
    ledger = Ledger(home.ledger_url)
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_effect(connection, now, decision.effect, state)
        outcome = "not_done" if state == "not_done" else "not_improved"
        attempts.end_attempt(connection, now, decision.attempt, outcome, "x", "x")


def test_allowed_means_attempt_lease_and_intent_are_on_the_record(home: Home) -> None:
    decision = ask(home, 1)
    assert decision.allowed, decision.refusals
    ledger = Ledger(home.ledger_url)
    with ledger.transaction(reading=True) as connection:
        assert [row.state for row in attempts.effects_of(connection, decision.attempt)] == ["intended"]
        assert [row.target for row in attempts.held(connection)] == ["http_cache:1"]
        [entry] = list(audit.entries(connection, type="action.started"))
        assert entry.data["plan"] == decision.plan.digest


def test_the_third_attempt_within_the_window_is_refused(home: Home) -> None:
    for number in (1, 2):
        finish(home, ask(home, number, target="http_cache:1"))
    assert refused_by(ask(home, 3, target="http_cache:1")) == ["loop"]


def test_another_target_is_another_remediation(home: Home) -> None:
    for number in (1, 2):
        finish(home, ask(home, number, target="http_cache:1"))
    assert ask(home, 3, target="http_cache:2").allowed


def test_an_attempt_that_never_acted_counts_for_nothing(home: Home) -> None:
    for number in range(4):
        finish(home, ask(home, number), "not_done")
    assert ask(home, 9).allowed


def test_a_target_that_is_held_is_refused_to_everybody_else(home: Home) -> None:
    assert ask(home, 1).allowed
    book = home.runbooks.named("purge")
    request, plan = asked(book, 2)
    held = plan.model_copy(update={"target": "http_cache:1"})
    assert refused_by(decide(home, Ledger(home.ledger_url), request, held, book, measured=True)) == ["target"]


def test_hosts_of_one_task_are_one_attempt_and_go_one_by_one(home: Home) -> None:
    hosts = {"run": "run-1", "hosts": ("a", "b")}
    first = ask(home, 1, host="a", **hosts)
    with pytest.raises(OtherHostAtWork):
        ask(home, 2, host="b", **hosts)
    ledger = Ledger(home.ledger_url)
    with ledger.transaction() as connection:
        attempts.end_effect(connection, ledger.now(connection), first.effect, "done")
    second = ask(home, 2, host="b", **hosts)
    assert (first.attempt, second.allowed, second.attempt) == (1, True, 1)
    assert refused_by(ask(home, 3, host="a", **hosts)) == ["once"]


@pytest.mark.parametrize("state", ["failed", "unknown"])
def test_a_host_that_fails_stops_the_rest(home: Home, state: str) -> None:
    hosts = {"run": "run-1", "hosts": ("a", "b")}
    finish(home, ask(home, 1, host="a", **hosts), state)
    assert refused_by(ask(home, 2, host="b", **hosts)) == ["once"]


def test_after_a_refusal_every_step_of_the_run_is_refused(home: Home) -> None:
    assert refused_by(ask(home, 1, problems=("x",))) == ["inputs"]
    assert refused_by(ask(home, 2, run="run-1", task="other")) == ["runbook"]


def _race(home: Home, number: int, gate: Any, won: Any) -> None:
    gate.wait(300)
    won.put("allowed" if (decision := ask(home, number)).allowed else refused_by(decision)[0])


@pytest.fixture
def racers() -> Iterator[Any]:
    """Processes of their own, which share nothing; what they import was imported before they begin."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "sre_responder.guard.decide", "support.ledgers"])
    yield context


def test_of_processes_that_race_for_two_actions_two_win(home: Home, racers: Any) -> None:
    with Ledger(home.ledger_url).transaction() as connection:
        connection.execute(update(schema.incidents).values(severity="SEV2"))
    gate, won = racers.Barrier(6), racers.Queue()
    processes = [racers.Process(target=_race, args=(home, number, gate, won)) for number in range(6)]
    for process in processes:
        process.start()
    results = Counter(won.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(30)
    won.close()
    won.join_thread()
    assert results == {"allowed": 2, "budget": 4}


@pytest.mark.parametrize("also", [False, True], ids=["the approval alone", "another gate too"])
def test_a_refusal_names_the_command_to_approve_only_where_the_plan_waits(home: Home, also: bool) -> None:
    """At SEV2 two actions are automatic; the third waits for people, unless something else refuses it as well."""
    with Ledger(home.ledger_url).transaction() as connection:
        connection.execute(update(schema.incidents).values(severity="SEV2"))
    for number in (1, 2):
        finish(home, ask(home, number))
    refused = ask(home, 3, **({"problems": ("wrong",)} if also else {}))
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        waiting = [row.digest for row in plans.waiting(connection)]
    commands = [
        gate.command for gate in refused.refusals if gate.command and gate.command.startswith("responder approve")
    ]
    assert (bool(waiting), bool(commands)) == (not also, not also)
