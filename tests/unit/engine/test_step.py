"""What a step records of an effect that did not simply succeed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select
from support.light import PLAY, Light, home_with, take

from sre_responder.approvals import sign_off
from sre_responder.effects import Change
from sre_responder.errors import (
    EffectFailed,
    InputError,
    LedgerUnavailable,
    OutcomeUnknown,
    Refused,
    ResponderError,
    StateMoved,
)
from sre_responder.guard.decide import decide
from sre_responder.guard.gates.loop import lockout
from sre_responder.home import Home, find
from sre_responder.ledger import Ledger, attempts, schema
from sre_responder.recovery import settling


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


class Timeout(BaseException):
    """As Ansible raises it from its alarm, wherever the task is."""


class Stuck(Light):
    """A light that fails to turn on, after `half` of it was done or before."""

    def __init__(self, error: BaseException, *, half: bool) -> None:
        super().__init__()
        self.error, self.half = error, half

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        self.on = self.half
        raise self.error


CASES = {
    "the platform's own guard denied it": (Refused("no"), False, Refused, "not_done"),
    "it was denied in the middle": (Refused("no"), True, OutcomeUnknown, "unknown"),
    "the world moved": (StateMoved("moved"), False, StateMoved, "not_done"),
    "it failed and changed nothing": (EffectFailed("no"), False, EffectFailed, "not_improved"),
    "it failed in the middle": (EffectFailed("no"), True, OutcomeUnknown, "unknown"),
    "nobody knows": (OutcomeUnknown("who knows"), False, OutcomeUnknown, "unknown"),
    "the platform called the input wrong, and nothing was changed": (
        InputError("no"),
        False,
        EffectFailed,
        "not_improved",
    ),
    "the platform called the input wrong in the middle": (InputError("no"), True, OutcomeUnknown, "unknown"),
    "a fault of our own": (KeyError("no"), False, OutcomeUnknown, "unknown"),
    "a timeout of the task": (Timeout("1 s"), False, OutcomeUnknown, "unknown"),
    "a timeout in the middle": (Timeout("1 s"), True, OutcomeUnknown, "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_may_have_changed_something_freezes_its_target(home: Home, case: str) -> None:
    error, half, told, outcome = CASES[case]
    with pytest.raises(told) as raised:
        take(home, Stuck(error, half=half))
    assert type(raised.value) is told
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        assert connection.execute(select(schema.attempts.c.outcome)).scalars().all() == [outcome]
        assert (len(attempts.unknown(connection)), len(attempts.held(connection))) == (int(outcome == "unknown"), 0)


@pytest.mark.parametrize("kind", [EffectFailed, Refused, OutcomeUnknown])
def test_what_froze_a_target_is_told_with_its_cure(home: Home, kind: type[ResponderError]) -> None:
    with pytest.raises(OutcomeUnknown, match=r"the key is void. Renew the key."):
        take(home, Stuck(kind("the key is void.", cure="Renew the key."), half=True))
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        assert [row.reason for row in attempts.unknown(connection)] == ["the key is void. Renew the key."]


LADDER = (
    PLAY.replace(
        "{name: Purge, sre.responder.http_cache_purge: }",
        "{name: Purge web, sre.responder.http_cache_purge: {url: web}}",
    )
    + """\
    - {name: Purge shop, sre.responder.http_cache_purge: {url: shop}}
    - {name: Roll back, sre.responder.release_rollback: {root: /app}}
    - {name: Purge web again, sre.responder.http_cache_purge: {url: web}}
"""
)
WEB, SHOP, ROLLBACK, WEB_AGAIN = range(4)


@pytest.fixture
def ladder(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", LADDER)


def told(home: Home, number: int, target: str, run: str = "run", **changes: Any) -> str:
    """What became of a step on a new light: its outcome, or why it was skipped. Nothing measures it, so nothing helps."""
    result = take(home, Light(target=target), number, run=run, **changes)
    return str(result.get("skip_reason") or result["outcome"])


def test_two_steps_of_one_action_on_two_targets_are_two_remediations(ladder: Home) -> None:
    assert [told(ladder, WEB, "web"), told(ladder, SHOP, "shop")] == ["not_improved", "not_improved"]


def test_a_target_on_which_it_did_not_help_is_left_out(ladder: Home) -> None:
    told(ladder, WEB, "web")
    assert [told(ladder, WEB, "web", "run-2"), told(ladder, SHOP, "shop", "run-2")] == ["tried", "not_improved"]


def test_the_same_is_tried_again_behind_a_rollback_and_not_once_more(ladder: Home) -> None:
    steps = (WEB, "web"), (SHOP, "shop"), (ROLLBACK, "app"), (WEB_AGAIN, "web")
    assert [told(ladder, *step) for step in steps] == ["not_improved"] * 4
    assert [told(ladder, *step, "run-2") for step in steps] == ["tried"] * 4


def test_without_the_rollback_it_is_not_tried_again_behind_it(ladder: Home) -> None:
    told(ladder, WEB, "web")
    assert told(ladder, WEB_AGAIN, "web") == "tried"


def test_a_rung_is_not_climbed_over_one_of_two_targets(ladder: Home) -> None:
    told(ladder, WEB, "web")
    with pytest.raises(Refused, match="Purge shop"):
        told(ladder, ROLLBACK, "app")


def test_a_target_that_this_run_left_out_as_tried_counts_as_tried(ladder: Home) -> None:
    told(ladder, WEB, "web")
    told(ladder, SHOP, "shop")
    assert [told(ladder, *step, "run-2") for step in ((WEB, "web"), (SHOP, "shop"), (ROLLBACK, "app"))] == [
        "tried", "tried", "not_improved",
    ]  # fmt: skip


def test_a_person_may_allow_one_more_attempt_at_a_target(ladder: Home) -> None:
    told(ladder, WEB, "web")
    lock = lockout("dev:checkout:stale", "http_cache_purge", "web")
    sign_off.reset(ladder, Ledger(ladder.ledger_url), lock, None, None)
    assert [told(ladder, WEB, "web", "run-2"), told(ladder, WEB, "web", "run-3")] == ["not_improved", "tried"]


def test_what_was_interrupted_and_never_measured_is_not_called_tried(ladder: Home) -> None:
    with pytest.raises(OutcomeUnknown):
        take(ladder, Stuck(OutcomeUnknown("who knows"), half=True), WEB)
    with Ledger(ladder.ledger_url).transaction() as connection:
        attempts.end_effect(connection, 9e9, 1, "done")
        attempts.settle(connection, 1)
    assert told(ladder, WEB, "light", "run-2") == "not_improved"


@pytest.mark.parametrize("ended", [True, False])
def test_an_act_that_had_ended_is_settled_by_its_record_where_the_state_does_not_tell(
    ladder: Home, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    ledger = Ledger(ladder.ledger_url)
    with pytest.raises(OutcomeUnknown):
        take(ladder, Stuck(OutcomeUnknown("who knows"), half=True), WEB)
    with ledger.transaction() as connection:
        if ended:  # and its run was killed while it watched
            attempts.end_effect(connection, 9e9, 1, "done", observed={"kept": False})
        attempts.freeze(connection, 9e9, 1, "its process died")
    monkeypatch.setattr("sre_responder.recovery.probe.state", lambda *_: {"kept": True})
    if not ended:
        with pytest.raises(OutcomeUnknown, match="does not tell"):
            settling.settle(ladder, ledger, "light")
        return
    assert settling.settle(ladder, ledger, "light")["how"] == "its act had ended, says the record"
    with ledger.transaction(reading=True) as connection:
        assert [row.observed for row in attempts.effects_of(connection, 1)] == ['{"kept":false}']
    assert told(ladder, WEB, "light", "run-2") == "not_improved", "it was never measured"


def test_what_the_probe_saw_when_it_settled_an_outcome_is_kept(ladder: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutcomeUnknown):
        take(ladder, Stuck(OutcomeUnknown("who knows"), half=True), WEB)
    monkeypatch.setattr("sre_responder.recovery.probe.state", lambda *_: {"kept": True})
    monkeypatch.setattr("sre_responder.recovery.probe.became", lambda *_: "done")
    ledger = Ledger(ladder.ledger_url)
    assert settling.settle(ladder, ledger, "light")["became"] == "done"
    with ledger.transaction(reading=True) as connection:
        assert [row.observed for row in attempts.effects_of(connection, 1)] == ['{"kept":true}']


def test_one_of_two_hosts_that_was_tried_leaves_the_other_to_be_finished(ladder: Home) -> None:
    told(ladder, WEB, "web")
    both = {"hosts": ("a", "b"), "run": "run-2"}
    assert told(ladder, WEB, "web", host="a", **both) == "tried"
    assert told(ladder, WEB, "b:web", host="b", **both) == "not_improved"


def due(*_arguments: Any) -> None:
    """The task's own timeout is due now."""
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.1)


@pytest.fixture
def timeout() -> Iterator[None]:
    """A task with a timeout, which goes off when a test says that it is due."""

    def passed(_number: int, _frame: Any) -> None:
        raise Timeout("1 s")

    before = signal.signal(signal.SIGALRM, passed)
    signal.setitimer(signal.ITIMER_REAL, 600)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def limited(home: Home, **deadlines: float) -> Home:
    policy = home.folder / "policy.yml"
    policy.write_text(policy.read_text() + yaml.safe_dump({"deadlines": deadlines}))
    return Home(home.folder, home.ledger_url, home.state)


class Hanging(Light):
    """A light that answers no more while it is planned."""

    def plan(self) -> Change:
        time.sleep(60)
        raise AssertionError


def outcomes(home: Home) -> list[str | None]:
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        return list(connection.execute(select(schema.attempts.c.outcome)).scalars())


def test_planning_that_hangs_is_refused_with_a_sentence(home: Home) -> None:
    with pytest.raises(Refused, match=r"planning took longer than 0.1 s.*the target answers too slowly"):
        take(limited(home, plan_seconds=0.1), Hanging())
    assert outcomes(home) == []


def test_an_act_that_hangs_is_ended_and_its_target_frozen(home: Home) -> None:
    with pytest.raises(OutcomeUnknown, match=r"not done within 0.1 s") as raised:
        take(limited(home, act_seconds=0.1), Light(lambda: time.sleep(60)))
    assert (outcomes(home), "responder settle" in raised.value.cure) == (["unknown"], True)


@pytest.mark.usefixtures("timeout")
def test_a_task_that_times_out_in_its_act_is_recorded(home: Home) -> None:
    def act() -> None:
        raise Timeout("1 s")

    with pytest.raises(OutcomeUnknown, match="Timeout"):
        take(home, Light(act))
    assert outcomes(home) == ["unknown"]


@pytest.mark.usefixtures("timeout")
def test_a_timeout_that_is_due_while_the_guard_decides_changes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any, **options: Any) -> Any:
        due()
        return decide(*arguments, **options)

    monkeypatch.setattr("sre_responder.engine.step.confirm.decide", slow)
    light = Light()
    with pytest.raises(Timeout):
        take(home, light)
    assert (light.on, outcomes(home)) == (False, ["not_done"])


@pytest.mark.usefixtures("timeout")
def test_a_timeout_while_watching_is_recorded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sre_responder.engine.health.Health.after", due)
    take(home, Light())
    assert outcomes(home) == ["not_improved"]  # a homelab notes what was not measured


def test_a_ledger_that_is_lost_before_the_act_says_that_nothing_was_changed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_arguments: Any, **_options: Any) -> Any:
        raise LedgerUnavailable("the ledger is locked.", cure="See `responder doctor`.")

    monkeypatch.setattr("sre_responder.engine.step.confirm.decide", lost)
    with pytest.raises(LedgerUnavailable, match=r"the ledger is locked\. Nothing was changed\. See"):
        take(home, Light())


def test_a_ledger_that_is_lost_after_the_act_does_not_say_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_arguments: Any, **_options: Any) -> Any:
        raise LedgerUnavailable("the ledger is locked.", cure="See `responder doctor`.")

    monkeypatch.setattr("sre_responder.engine.step.settle.recorded", lost)
    with pytest.raises(OutcomeUnknown) as raised:
        take(home, Light())
    assert "Nothing was changed" not in str(raised.value) and "responder settle" in str(raised.value)


class Spent(Light):
    """A light that cannot be planned any more, as a rollback behind which no release is left."""

    def plan(self) -> Change:
        raise InputError("no release is left before this one")


def test_a_step_that_did_not_help_and_cannot_be_planned_any_more_is_left_out(ladder: Home) -> None:
    told(ladder, WEB, "web")
    assert take(ladder, Spent(), WEB, run="run-2")["skip_reason"] == "tried"


@pytest.mark.parametrize("other", [{"options": {"url": "shop"}}, {"host": "b", "hosts": ("b",)}])
def test_a_step_that_cannot_be_planned_for_another_target_than_it_had_is_refused(
    ladder: Home, other: dict[str, Any]
) -> None:
    take(ladder, Light(target="web"), WEB, options={"url": "web"})
    with pytest.raises(Refused, match="no release is left") as refused:
        take(ladder, Spent(), WEB, run="run-2", **{"options": {"url": "web"}, **other})
    assert "responder reset" not in str(refused.value), "how often another target was tried is another matter"


def test_a_target_of_production_is_refused_and_not_left_out_as_tried(ladder: Home) -> None:
    take(ladder, Light(target="web"), WEB, options={"url": "web"})
    catalogue = ladder.folder / "catalogue.yml"
    web = {"responder/environments": "production", "responder/cache-url": "web"}
    theirs = {"kind": "Component", "metadata": {"name": "pay", "annotations": web}}
    catalogue.write_text(yaml.safe_dump_all([yaml.safe_load(catalogue.read_text()), theirs]))
    changed = find(
        {"HOME": str(ladder.folder), "RESPONDER_HOME": str(ladder.folder), "RESPONDER_LEDGER": ladder.ledger_url}
    )
    with pytest.raises(Refused, match="that of pay in production"):
        take(changed, Light(target="web"), WEB, run="run-2", options={"url": "web"})


def test_a_step_that_was_never_taken_and_cannot_be_planned_is_refused(ladder: Home) -> None:
    told(ladder, WEB, "web")
    with pytest.raises(Refused, match="no release is left"):
        take(ladder, Spent(), SHOP, run="run-2")


def test_an_objective_or_a_command_that_changes_makes_another_plan(tmp_path: Path) -> None:
    play = PLAY.replace('{url: "http://127.0.0.1:1/", ', "{slo: availability, ")
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", play)

    def planned() -> str:
        here = find({"RESPONDER_HOME": str(made.folder), "RESPONDER_LEDGER": made.ledger_url})
        return str(take(here, Light(), check=True)["guard"]["plan"])

    def written(objective: float) -> None:
        slo = {"name": "availability", "objective": objective, "sli": {"raw": {"error_ratio_query": "x"}}}
        document = {"version": "prometheus/v1", "service": "checkout", "slos": [slo]}
        (made.folder / "slos").mkdir(exist_ok=True)
        (made.folder / "slos" / "a.yml").write_text(yaml.safe_dump(document))

    plans = [planned()]
    for objective in (99.9, 90.0):
        written(objective)
        plans += [planned(), planned()]
    assert plans[1] == plans[2] and plans[3] == plans[4] and len(set(plans)) == 3
    policy = made.folder / "policy.yml"
    allowed = {"commands": {"depth": {"run": ["/usr/bin/depth"]}}}
    policy.write_text(yaml.safe_dump({**yaml.safe_load(policy.read_text()), **allowed}))
    assert planned() not in plans
