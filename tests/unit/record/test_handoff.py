"""The hand-off: from the record alone, everything that the person who takes over needs."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sre_responder.cli.record import lines
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, incidents, plans, runs, schema
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request
from sre_responder.record.handoff import Changed, Handover, Tried, handoff

EMPTY = Handover((), (), (), (), (), (), "responder timeline INC-1234", ())


CATALOGUE = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: checkout, annotations: {responder/environments: dev}}
spec: {type: service, owner: payments}
"""
BOOK = """\
- hosts: localhost
  vars:
    runbook:
      {id: mend, failure_class: bad, success: {expect: ok}, contacts: ["the vendor: +1 555 0100"], rollback: Ask the vendor first.}
  tasks: []
"""


def plan(target: str, action: str = "release_rollback") -> Plan:
    return Plan(
        incident="INC-1234", runbook="r", runbook_digest="d", action=action, arguments={}, service="checkout", environment="staging", target=target,
        before={"release": "2"}, after={"release": "1"},
    )  # fmt: skip


def attempted(
    ledger: Ledger, target: str, state: str | None, outcome: str | None, *, incident: str = "INC-1234", contains: bool = False
) -> tuple[int, Plan]:  # fmt: skip
    """One attempt on one host as the ledger keeps it; a state of None is an effect under way."""
    made = plan(target)
    request = Request(
        action=made.action, incident=incident, service="checkout", environment="staging", confirm_production=False, run="run-1",
        task=target, step="s", host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    with ledger.transaction() as connection:
        runs.begin(connection, 1.0, "run-1", driven=True, requester="dana", incident="INC-1234")
        number = attempts.reserve(
            connection, 1.0, request, made, symptom="s", rung=3, failure_class="f", automatic=True, joined=None
        )
        attempts.intend(connection, 1.0, number, request, made, contains=contains, lease_seconds=60)
        [row] = attempts.effects_of(connection, number)
        if state:
            attempts.end_effect(connection, 2.0, row.id, state, observed={"release": "1"})
        if outcome:
            attempts.end_attempt(connection, 3.0, number, outcome, "because", "dana")
    return number, made


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, "sqlite://", tmp_path / "state")


def found(ledger: Ledger, home: Home, incident: str = "INC-1234") -> Handover:
    with ledger.transaction(reading=True) as connection:
        return handoff(connection, home, incident)


def test_an_incident_without_actions_hands_over_nothing_but_where_to_look(ledger: Ledger, home: Home) -> None:
    assert found(ledger, home) == EMPTY


def test_what_was_tried_and_changed_is_told_with_its_undo(ledger: Ledger, home: Home) -> None:
    number, made = attempted(ledger, "release:/app", "done", "not_improved")
    told = found(ledger, home)
    again = "responder reset s:release_rollback:release:/app"
    assert told.tried == (Tried(number, "release_rollback", ("release:/app",), 3, "not_improved", (again,)),)
    assert told.changed == (Changed("release:/app", 1, {"release": "1"}),)
    assert told.undo == (f"responder undo {number}  # or: ansible-playbook {home.state / 'undo' / made.digest}.yml",)


def test_whom_to_call_and_what_to_know_of_a_step_back_is_told(ledger: Ledger, home: Home) -> None:
    (home.folder / "catalogue.yml").write_text(CATALOGUE)
    book = home.folder / "runbooks" / "mend"
    book.mkdir(parents=True)
    (book / "runbook.yml").write_text(BOOK)
    with ledger.transaction() as connection:
        incidents.open_(
            connection, 1.0, id="INC-1234", service="checkout", environment="dev", severity="SEV3", title="bad", actor="dana"
        )  # fmt: skip
        for run, name in (("run-1", "mend"), ("run-2", "gone")):
            runs.begin(connection, 1.0, run, driven=True, requester="dana", incident="INC-1234", runbook=name)
    told = found(ledger, home)
    assert told.contacts == ("payments, the owner of checkout", "the vendor: +1 555 0100")
    assert told.rollback == ("Ask the vendor first.",)
    assert "contacts: the vendor: +1 555 0100" in lines(told)


def test_a_command_for_a_person_fits_a_shell_whatever_the_home_is_called(ledger: Ledger, tmp_path: Path) -> None:
    _, made = attempted(ledger, "release:/app", "done", "not_improved")
    home = Home(tmp_path, "sqlite://", tmp_path / "on call; ö")
    [command] = found(ledger, home).undo
    words = shlex.split(command.partition("# or: ")[2])
    assert words == ["ansible-playbook", str(tmp_path / "on call; ö" / "undo" / f"{made.digest}.yml")]


def test_a_target_that_was_changed_twice_is_told_once(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", "done", "not_improved")
    with ledger.transaction() as connection:
        second = attempts.effects_of(connection, 1)[0]._asdict()
        second |= {"id": None, "run": "run-2", "observed": '{"release": "0"}'}
        connection.execute(schema.effects.insert().values(second))
    assert found(ledger, home).changed == (Changed("release:/app", 1, {"release": "0"}),)


@pytest.mark.parametrize("state", ["failed", "not_done"])
def test_what_changed_nothing_needs_no_undo(ledger: Ledger, home: Home, state: str) -> None:
    attempted(ledger, "release:/app", state, "not_improved")
    told = found(ledger, home)
    assert (told.changed, told.undo, len(told.tried)) == ((), (), 1)


def test_a_frozen_target_is_told_and_settling_it_is_the_next_safest_command(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", "unknown", "unknown")
    told = found(ledger, home)
    assert (told.frozen, told.next) == (("release:/app",), "responder settle release:/app")


def test_what_is_under_way_is_told_as_held_and_running(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", None, None)
    told = found(ledger, home)
    assert [one.outcome for one in told.tried] == [None]
    assert told.held == ("release:/app",)
    [running] = told.running
    assert running.startswith("run run-1 on ") and "(pid " in running


def test_a_run_that_ended_is_not_told_as_running(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", "done", "improved")
    with ledger.transaction() as connection:
        runs.end(connection, 9.0, "run-1", "healed", "dana", "healed")
    assert found(ledger, home).running == ()


def test_what_is_contained_is_told(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "haproxy:x:checkout", "done", "improved", contains=True)
    assert found(ledger, home).contained == ("haproxy:x:checkout",)


def test_a_plan_that_waits_is_to_be_decided_next(ledger: Ledger, home: Home) -> None:
    waiting = plan("release:/app")
    with ledger.transaction() as connection:
        plans.save(connection, 1.0, waiting, "INC-1234", [], "dana", "", True)
    assert found(ledger, home).next == f"responder approve {waiting.short}"


def test_what_is_unknown_is_settled_before_anything_new_is_approved(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", "unknown", "unknown")
    with ledger.transaction() as connection:
        plans.save(connection, 1.0, plan("release:/other"), "INC-1234", [], "dana", "", True)
    assert found(ledger, home).next == "responder settle release:/app"


def test_another_incidents_matters_are_not_handed_over(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", None, None, incident="INC-9999", contains=True)
    with ledger.transaction() as connection:
        plans.save(connection, 1.0, plan("release:/other"), "INC-9999", [], "dana", "", True)
        runs.end(connection, 9.0, "run-1", "failed", "dana", "failed")
    assert found(ledger, home) == EMPTY


def looked(ledger: Ledger, *findings: str) -> None:
    with ledger.transaction() as connection:
        audit.append(connection, 1.0, "scope.identified", "dana", "looked", incident="INC-1234", findings=[*findings])


def refuted(ledger: Ledger, why: str) -> None:
    with ledger.transaction() as connection:
        audit.append(connection, 2.0, "action.skipped", "dana", why, incident="INC-1234", refuted=why)


def test_what_the_last_diagnosis_found_is_handed_over(ledger: Ledger, home: Home) -> None:
    looked(ledger, "an old finding")
    looked(ledger, "Service web leads nowhere")
    refuted(ledger, "a rollback would not help")
    assert found(ledger, home).found == ("Service web leads nowhere",)
    assert "found: Service web leads nowhere" in lines(found(ledger, home))


def test_where_a_diagnosis_found_nothing_the_reason_of_a_skip_is_handed_over(ledger: Ledger, home: Home) -> None:
    looked(ledger)
    refuted(ledger, "nothing changed since it was last healthy")
    assert found(ledger, home).found == ("nothing changed since it was last healthy",)


def test_who_has_it_in_hand_and_who_acknowledged_it_is_handed_over(ledger: Ledger, home: Home) -> None:
    with ledger.transaction() as connection:
        for level, cause in (("automatic", "an action started"), ("on_call", "handed over")):
            audit.append(
                connection, 2.0, "incident.escalated", "x", "x", incident="INC-1234", level=level, cause=cause, entry=1
            )
        audit.append(connection, 3.0, "incident.acknowledged", "iris", "acknowledged by iris", incident="INC-1234")
    assert found(ledger, home).escalation == ("on_call: handed over", "acknowledged by iris")
    assert "escalation: on_call: handed over" in lines(found(ledger, home))


def test_as_text_every_fact_has_a_line(ledger: Ledger, home: Home) -> None:
    attempted(ledger, "release:/app", "done", "not_improved")
    text = lines(found(ledger, home))
    assert 'changed: release:/app, left by attempt 1: {"release": "1"}' in text
    assert "tried: release_rollback on release:/app (rung 3, attempt 1): did not help" in text
    assert "frozen: none" in text
    assert "next: responder timeline INC-1234" in text
    said_where_there_is_something = {"contacts", "rollback", "found", "escalation"}
    assert {line.split(":")[0] for line in text} == {
        field.name for field in fields(Handover)
    } - said_where_there_is_something


def test_what_was_tried_under_another_number_and_skipped_here_is_handed_over(ledger: Ledger, home: Home) -> None:
    number, _ = attempted(ledger, "release:/app", "done", "not_improved", incident="INC-9999")
    with ledger.transaction() as connection:
        audit.append(
            connection, 4.0, "action.skipped", "dana", "skipped", incident="INC-1234", reason="tried", attempt=number
        )
    told = found(ledger, home)
    assert ([one.attempt for one in told.tried], told.helped, told.changed) == ([number], False, ())


@pytest.mark.parametrize(
    ("became", "outcome"), [("done", "unmeasured"), ("cut_short", "unmeasured"), ("not_done", None)]
)
def test_what_was_interrupted_and_never_measured_is_not_said_not_to_have_helped(
    ledger: Ledger, home: Home, became: str, outcome: str | None
) -> None:
    number, _ = attempted(ledger, "release:/app", "unknown", "unknown")
    with ledger.transaction() as connection:
        [row] = attempts.effects_of(connection, number)
        attempts.end_effect(connection, 5.0, row.id, became)
        attempts.settle(connection, number)
    told = found(ledger, home)
    assert [one.outcome for one in told.tried] == ([outcome] if outcome else [])
    assert not any("did not help" in line for line in lines(told))


def test_containment_last_does_not_hide_that_the_remediation_did_not_help(ledger: Ledger, home: Home) -> None:
    one = Tried(1, "supervisor_restart", ("web",), 2, "not_improved")
    drained = Tried(2, "haproxy_drain", ("edge",), 0, "improved")
    assert not replace(EMPTY, tried=(one, drained)).helped
    assert replace(EMPTY, tried=(one, replace(one, outcome="improved"), drained)).helped
