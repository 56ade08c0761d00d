"""Every gate over a snapshot: when it passes, blocks, cannot tell, or is skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.guard.gates import GATES, evaluate
from sre_responder.guard.gates.loop import locked_out_at
from sre_responder.guard.gates.target import target
from sre_responder.guard.snapshot import Snapshot
from sre_responder.home.graph import Radius
from sre_responder.home.policy import PROFILES, Policy
from sre_responder.incident.outage import Outage
from sre_responder.model.actions import ACTIONS
from sre_responder.model.facts import Acted, Approval, Attempt, Holder, Incident, RunbookFacts, Step, StopFact
from sre_responder.model.plan import Plan, Wait
from sre_responder.model.request import Request

NOW = 1_000_000.0
DIGEST = "d" * 64
PLAN = Plan(
    incident="INC-1234", runbook="r", runbook_digest=DIGEST, action="release_rollback", arguments={"to": "1"}, service="checkout",
    environment="staging", target="release:/app", before={"release": "2"}, after={"release": "1"},
)  # fmt: skip
STEPS = (
    Step("purge", "http_cache_purge", 1, "purge"),
    Step("restart", "supervisor_restart", 2, "restart"),
    Step("back", "release_rollback", 3, "back"),
)


def attempt(id: int = 1, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "incident": "INC-1234", "symptom": "s", "service": "checkout", "action": "release_rollback", "rung": 3,
        "automatic": True, "started_at": NOW - 60, "outcome": "not_improved",
    }  # fmt: skip
    return Attempt(id=id, **{**values, **changes})


def approval(id: int = 1, **changes: Any) -> Approval:
    values: dict[str, Any] = {
        "person": "iris", "roles": ("operator",), "decision": "grant", "signed_at": NOW - 5, "expires_at": NOW + 60, "used": False,
    }  # fmt: skip
    return Approval(id=id, **{**values, **changes})


TRIED = (
    attempt(8, action="http_cache_purge", rung=1, symptom="s"),
    attempt(9, action="supervisor_restart", rung=2, symptom="s"),
)


def snapshot(**changes: Any) -> Snapshot:
    """A rollback in staging that every gate passes; `environment` and `policy` are short for what they stand in."""
    environment = changes.pop("environment", "staging")
    request = Request(
        action="release_rollback", incident="INC-1234", service="checkout", environment=environment, confirm_production=True,
        run="run", task="task", step="back", host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    values: dict[str, Any] = {
        "now": NOW,
        "policy": policy("production"),
        "request": request,
        "spec": ACTIONS["release_rollback"],
        "plan": PLAN,
        "symptom": "s",
        "incident": Incident("INC-1234", "checkout", environment, "SEV4", "open"),
        "runbook": RunbookFacts("r", DIGEST, True, "bad", False, STEPS),
        "attempts": TRIED,
        "scope_identified": True,
        "radius": Radius("checkout", ("web",), ("web",)),
    }
    return Snapshot(**{**values, **changes})


def policy(profile: str, **changes: Any) -> Policy:
    return Policy.model_validate({"profile": profile, **PROFILES[profile], **changes})  # type: ignore[index]


def severity(level: str | None, environment: str = "staging") -> Incident:
    return Incident("INC-1234", "checkout", environment, level, "open")


def restarted(step: str) -> Attempt:
    return replace(TRIED[1], step=step)


def request(**changes: Any) -> Request:
    return replace(snapshot().request, **changes)


def downstream(before: dict[str, str], now: dict[str, str], **outage: Any) -> Snapshot:
    plan = PLAN.model_copy(update={"evidence": {"downstream": now}})
    return snapshot(plan=plan, outage=Outage(before=before, **outage))


def may_leave(**shares: float) -> Policy:
    return policy("production", radius={"capacity_left_for": shares})


def allows(**limits: Any) -> Policy:
    row = {"services": 1, "automatic_actions": None, "approval_after_failures": None, **limits}
    return policy("production", severities={"SEV4": row})


REACH = Radius("checkout", ("web",), ("web",))
OLD = replace(REACH, unknown="istio@mesh was last read 90 min ago")
FIRST = Step("first", "supervisor_restart", 2, "restart web", "restart web")
SECOND = Step("second", "supervisor_restart", 2, "restart worker", "restart worker")
TWO = RunbookFacts("r", DIGEST, True, "bad", False, (STEPS[0], FIRST, SECOND, STEPS[2]))
AGAIN = replace(TWO, steps=(*TWO.steps, replace(FIRST, digest="again", name="restart web once more")))
HOMELAB = policy("homelab")
GRANTED = policy("production", approvals={"standing": {DIGEST: [3]}})
FOUR = tuple(attempt(n) for n in range(4))
STANDING_STOP = (StopFact("STOP-1", "iris", "x", "everything", NOW),)
CASES: dict[str, tuple[str, str, Callable[[], Snapshot]]] = {
    "no stop stands": ("stop", "passed", snapshot),
    "a stop stands": ("stop", "failed", lambda: snapshot(stops=STANDING_STOP)),
    "valid names": ("inputs", "passed", snapshot),
    "a bad name": ("inputs", "failed", lambda: snapshot(request=request(problems=("incident",)))),
    "an action off the allowlist": ("inputs", "failed", lambda: snapshot(spec=None)),
    "production without its confirmation": (
        "inputs", "failed", lambda: snapshot(request=request(environment="production", confirm_production=False)),
    ),
    "a target that could not be read": ("inputs", "failed", lambda: snapshot(plan=None)),
    "an open incident": ("ticket", "passed", snapshot),
    "no incident": ("ticket", "failed", lambda: snapshot(incident=None)),
    "a closed incident": ("ticket", "failed", lambda: snapshot(incident=replace(severity("SEV1"), status="closed"))),
    "an incident without severity": ("ticket", "failed", lambda: snapshot(incident=severity(None))),
    "an incident of another environment": ("ticket", "failed", lambda: snapshot(incident=severity("SEV1", "dev"))),
    "a homelab has no tickets": ("ticket", "skipped", lambda: snapshot(policy=HOMELAB, incident=None)),
    "a declared step": ("runbook", "passed", snapshot),
    "no runbook": ("runbook", "failed", lambda: snapshot(runbook=None)),
    "an unregistered digest": ("runbook", "failed", lambda: snapshot(runbook=replace(snapshot().runbook, registered=False))),  # type: ignore[type-var]
    "a task that is not declared": ("runbook", "failed", lambda: snapshot(request=request(step="other"))),
    "a run that was halted": ("runbook", "failed", lambda: snapshot(halted="refused")),
    "the first attempt": ("loop", "passed", snapshot),
    "the second attempt within the window": ("loop", "passed", lambda: snapshot(attempts=(attempt(),))),
    "a third attempt within the window": ("loop", "failed", lambda: snapshot(attempts=(attempt(1), attempt(2)))),
    "locked out, and an hour later": (
        "loop", "failed", lambda: snapshot(attempts=(attempt(1, started_at=NOW - 4000), attempt(2, started_at=NOW - 3900))),
    ),
    "attempts further apart than the window": (
        "loop", "passed", lambda: snapshot(attempts=(attempt(1, started_at=NOW - 2000), attempt(2, started_at=NOW - 1))),
    ),
    "attempts in the future, the clock was set back": (
        "loop", "failed", lambda: snapshot(attempts=(attempt(1, started_at=NOW + 50), attempt(2, started_at=NOW + 60))),
    ),
    "one trial was allowed": (
        "loop", "passed", lambda: snapshot(attempts=(attempt(1), attempt(2)), resets={"s:release_rollback:release:/app": NOW - 1}),
    ),
    "the allowed trial was used": (
        "loop", "failed", lambda: snapshot(attempts=(attempt(1), attempt(2)), resets={"s:release_rollback:release:/app": NOW - 61}),
    ),
    "actions left": ("budget", "passed", lambda: snapshot(incident=severity("SEV3"), attempts=())),
    "no limit at SEV4": ("budget", "passed", lambda: snapshot(attempts=FOUR)),
    "two actions used at SEV2": ("budget", "failed", lambda: snapshot(incident=severity("SEV2"))),
    "two actions used at SEV2, approved": ("budget", "passed", lambda: snapshot(incident=severity("SEV2"), approvals=(approval(),))),
    "actions of another incident, same symptom": (
        "budget", "failed", lambda: snapshot(incident=severity("SEV2"), attempts=(attempt(1, incident="INC-1"), attempt(2, incident="INC-1"))),
    ),
    "two actions used at SEV2 in a homelab": (
        "budget", "failed", lambda: snapshot(policy=HOMELAB, incident=severity("SEV2")),
    ),
    "a budget without severity": ("budget", "unknown", lambda: snapshot(incident=severity(None))),
    "a budget without tickets": ("budget", "skipped", lambda: snapshot(policy=HOMELAB, incident=None)),
    "staging asks nobody": ("approval", "passed", snapshot),
    "production asks": ("approval", "failed", lambda: snapshot(environment="production")),
    "production, approved": ("approval", "passed", lambda: snapshot(environment="production", approvals=(approval(),))),
    "production, expired": ("approval", "failed", lambda: snapshot(environment="production", approvals=(approval(expires_at=NOW),))),
    "production, used": ("approval", "failed", lambda: snapshot(environment="production", approvals=(approval(used=True),))),
    "production, one denies": (
        "approval", "failed", lambda: snapshot(environment="production", approvals=(approval(), approval(2, person="eve", decision="deny"))),
    ),
    "production, signed in the future": (
        "approval", "failed", lambda: snapshot(environment="production", approvals=(approval(signed_at=NOW + 3600),)),
    ),
    "production, two needed and one person twice": (
        "approval",
        "failed",
        lambda: snapshot(
            environment="production", policy=policy("production", approvals={"needed": {"SEV4": 2}}), approvals=(approval(1), approval(2))
        ),
    ),
    "a standing grant by digest": ("approval", "passed", lambda: snapshot(environment="production", policy=GRANTED)),
    "a criterion that cannot be measured": ("approval", "failed", lambda: snapshot(measured=False)),
    "a homelab asks nobody": ("approval", "skipped", lambda: snapshot(environment="production", policy=HOMELAB)),
    "after two failures at SEV2": ("approval", "failed", lambda: snapshot(incident=severity("SEV2"))),
    "staging is where one tests": ("tested", "passed", snapshot),
    "production, never tried": ("tested", "failed", lambda: snapshot(environment="production")),
    "production, measured": ("tested", "passed", lambda: snapshot(environment="production", proven="attempt 1")),
    "production, attested": ("tested", "passed", lambda: snapshot(environment="production", attested="dana")),
    "production, no runbook": ("tested", "unknown", lambda: snapshot(environment="production", runbook=None)),
    "a team does not ask for tests": ("tested", "skipped", lambda: snapshot(environment="production", policy=policy("team"))),
    "scope known": ("containment", "passed", snapshot),
    "scope not known": ("containment", "failed", lambda: snapshot(scope_identified=False)),
    "containment asked for and not done": (
        "containment", "failed", lambda: snapshot(runbook=replace(snapshot().runbook, contain_first=True)),  # type: ignore[type-var]
    ),
    "containment itself": ("containment", "passed", lambda: snapshot(spec=ACTIONS["haproxy_drain"], scope_identified=False)),
    "a homelab needs no scope": ("containment", "skipped", lambda: snapshot(policy=HOMELAB, scope_identified=False)),
    "no rules": ("rules", "passed", snapshot),
    "a rule that refuses": (
        "rules", "failed",
        lambda: snapshot(policy=policy("production", rules={"x": {"refuse_when": "rung == `3`", "because": "so it is"}})),
    ),
    "one service": ("radius", "passed", snapshot),
    "a second service at SEV3": (
        "radius", "failed", lambda: snapshot(incident=severity("SEV3"), incident_attempts=(attempt(service="web"),)),
    ),
    "too little capacity left": ("radius", "failed", lambda: snapshot(plan=PLAN.model_copy(update={"capacity": 0.2}))),
    "an action that may leave nothing": (
        "radius", "passed",
        lambda: snapshot(plan=PLAN.model_copy(update={"capacity": 0.0}), policy=may_leave(release_rollback=0)),
    ),
    "an action that must leave more than others": (
        "radius", "failed",
        lambda: snapshot(plan=PLAN.model_copy(update={"capacity": 0.6}), policy=may_leave(release_rollback=0.75)),
    ),
    "another action that may leave nothing": (
        "radius", "failed",
        lambda: snapshot(plan=PLAN.model_copy(update={"capacity": 0.2}), policy=may_leave(kubernetes_isolate=0)),
    ),
    "a repair within two hops": ("radius", "failed", lambda: snapshot(repairs_nearby=("web",))),
    "a service that is not in the catalogue": ("radius", "unknown", lambda: snapshot(radius=None)),
    "calls that were not observed lately": ("approval", "failed", lambda: snapshot(radius=OLD)),
    "calls that were not observed lately, as the radius sees it": ("radius", "passed", lambda: snapshot(radius=OLD)),
    "calls that were not observed lately, and an approval": ("approval", "passed", lambda: snapshot(radius=OLD, approvals=(approval(),))),
    "calls that were not observed lately, in a homelab": ("approval", "skipped", lambda: snapshot(radius=OLD, policy=HOMELAB)),
    "an undo while calls were not observed lately": (
        "approval", "passed", lambda: snapshot(radius=OLD, request=request(undoes=7)),
    ),
    "as much traffic as the severity allows": (
        "approval", "passed", lambda: snapshot(radius=replace(REACH, traffic=0.3), policy=allows(traffic=0.3)),
    ),
    "more traffic than the severity allows": (
        "approval", "failed", lambda: snapshot(radius=replace(REACH, traffic=0.31), policy=allows(traffic=0.3)),
    ),
    "a limit of traffic, and nothing that counts it": ("approval", "failed", lambda: snapshot(policy=allows(traffic=0.3))),
    "as many services of tier 0 as the severity allows": (
        "approval", "passed", lambda: snapshot(radius=replace(REACH, tier_0=("web",)), policy=allows(tier_0=1)),
    ),
    "a service of tier 0 that the severity does not allow": (
        "approval", "failed", lambda: snapshot(radius=replace(REACH, tier_0=("web",)), policy=allows(tier_0=0)),
    ),
    "lower rungs tried": ("progression", "passed", snapshot),
    "lower rungs not tried": ("progression", "failed", lambda: snapshot(attempts=())),
    "a lower rung that is not applicable": (
        "progression", "passed", lambda: snapshot(attempts=TRIED[:1], not_applicable=frozenset({"restart"})),
    ),
    "a lower rung of unknown outcome": ("progression", "failed", lambda: snapshot(attempts=(TRIED[0], replace(TRIED[1], outcome="unknown")))),
    "two programs of one rung, one of them restarted": (
        "progression", "failed", lambda: snapshot(runbook=TWO, attempts=(TRIED[0], restarted("first"))),
    ),
    "two programs of one rung, both restarted": (
        "progression", "passed", lambda: snapshot(runbook=TWO, attempts=(TRIED[0], restarted("first"), restarted("second"))),
    ),
    "two programs of one rung, one left out as tried before": (
        "progression", "passed",
        lambda: snapshot(runbook=TWO, attempts=(TRIED[0], restarted("first")), skipped_as_tried=frozenset({"second"})),
    ),
    "a restart that is written again behind the rollback": (
        "progression", "passed", lambda: snapshot(runbook=AGAIN, attempts=(TRIED[0], restarted("first"), restarted("second"))),
    ),
    "rungs of no runbook": ("progression", "unknown", lambda: snapshot(runbook=None)),
    "no other service fails": ("order", "passed", snapshot),
    "what it depends on fails": ("order", "failed", lambda: snapshot(outage=Outage(first=("db",)))),
    "a person lets it come first": (
        "order", "passed", lambda: snapshot(outage=Outage(first=("db",)), approvals=(approval(),)),
    ),
    "without approvals it waits": ("order", "failed", lambda: snapshot(policy=HOMELAB, outage=Outage(first=("db",)))),
    "a failing cycle counts as one": ("order", "passed", lambda: snapshot(outage=Outage(cycle=("db",)))),
    "another service is being changed": (
        "order", "failed", lambda: snapshot(outage=Outage(at_work=("db",)), approvals=(approval(),)),
    ),
    "the last service is not proven stable": (
        "order", "failed", lambda: snapshot(outage=Outage(last=attempt(service="db"), proven=False)),
    ),
    "the last service is proven stable": (
        "order", "passed", lambda: snapshot(outage=Outage(last=attempt(service="db"), proven=True)),
    ),
    "a service downstream broke": ("order", "failed", lambda: downstream({"web": "healthy"}, {"web": "unhealthy"})),
    "a service downstream fails with this one": (
        "order", "passed", lambda: downstream({"web": "healthy"}, {"web": "unhealthy"}, downstream=("web",)),
    ),
    "a service downstream was broken by an action that helped": (
        "order", "failed", lambda: downstream({"web": "healthy"}, {"web": "unhealthy"}, downstream=("web",), broke=("web",)),
    ),
    "a service downstream was broken before": (
        "order", "passed", lambda: downstream({"web": "unhealthy"}, {"web": "unhealthy"}),
    ),
    "a service downstream cannot be measured any more": (
        "order", "unknown", lambda: downstream({"web": "healthy"}, {"web": "no answer"}),
    ),
    "a service downstream never could be measured": (
        "order", "passed", lambda: downstream({"web": "no probe"}, {"web": "no probe"}),
    ),
    "containment waits for no other service": (
        "order", "passed", lambda: snapshot(spec=ACTIONS["haproxy_drain"], outage=Outage(first=("db",))),
    ),
    "an undo waits for no other service": (
        "order", "passed", lambda: snapshot(request=request(undoes=1), outage=Outage(first=("db",))),
    ),
    "no rollback before": ("rollback", "passed", snapshot),
    "not a rollback": ("rollback", "passed", lambda: snapshot(spec=ACTIONS["supervisor_restart"], rollbacks=FOUR)),
    "two failed in a row": ("rollback", "failed", lambda: snapshot(rollbacks=(attempt(1), attempt(2)))),
    "two failed, long ago": (
        "rollback", "failed", lambda: snapshot(rollbacks=(attempt(1, started_at=1.0), attempt(2, started_at=2.0))),
    ),
    "three in the window": ("rollback", "failed", lambda: snapshot(rollbacks=tuple(attempt(n, outcome="improved") for n in range(3)))),
    "one trial of rollbacks allowed": (
        "rollback", "passed", lambda: snapshot(rollbacks=(attempt(1), attempt(2)), resets={"rollbacks:staging": NOW - 1}),
    ),
    "a free target": ("target", "passed", snapshot),
    "a held target": ("target", "failed", lambda: snapshot(holder=Holder(1, "run", "x", NOW - 9, NOW + 9))),
    "a lease that ran out is still held": ("target", "failed", lambda: snapshot(holder=Holder(1, "run", "x", NOW - 99, NOW - 9))),
    "a frozen target": ("target", "failed", lambda: snapshot(frozen=4)),
    "a rollout in progress": ("target", "failed", lambda: snapshot(plan=PLAN.model_copy(update={"wait": Wait("it rolls out")}))),
    "a program that starts": ("target", "failed", lambda: snapshot(plan=PLAN.model_copy(update={"busy": "STARTING"}))),
    "the first host of a task": ("once", "passed", snapshot),
    "the next host after one that was done": (
        "once", "passed", lambda: snapshot(acted=(Acted("a", "elsewhere", "done", ""),)),
    ),
    "a host that this task acted on": ("once", "failed", lambda: snapshot(acted=(Acted("localhost", "t", "done", ""),))),
    "a host after one that failed": ("once", "failed", lambda: snapshot(acted=(Acted("a", "t", "failed", "lost"),))),
    "a host after one of which nobody knows": (
        "once", "failed", lambda: snapshot(acted=(Acted("a", "t", "unknown", "cut off"),)),
    ),
    "another name of a target that was acted on": (
        "once", "failed", lambda: snapshot(acted=(Acted("a", PLAN.target, "done", ""),)),
    ),
    "a target that is not known": ("target", "unknown", lambda: snapshot(plan=None)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gate(case: str) -> None:
    name, status, build = CASES[case]
    found = {gate.name: gate for gate in (check(build()) for check in GATES)}[name]
    assert (found.status, bool(found.reason)) == (status, True), found.reason


def test_every_gate_has_its_cases() -> None:
    assert {check.__name__ for check in GATES} == {name for name, _, _ in CASES.values()}


def test_all_gates_are_evaluated_so_that_every_reason_is_seen_at_once() -> None:
    blocked = [
        gate.name for gate in evaluate(snapshot(environment="production", incident=None, attempts=())) if gate.blocks
    ]
    assert blocked == ["ticket", "budget", "approval", "tested", "progression"]


def test_a_stop_alone_cuts_short() -> None:
    assert [gate.name for gate in evaluate(snapshot(stops=STANDING_STOP))] == ["stop"]


@given(st.lists(st.floats(0, 1e6), max_size=20), st.integers(1, 4), st.floats(1, 1e4))
def test_locked_out_exactly_when_so_many_stand_within_one_window(times: list[float], limit: int, window: float) -> None:
    expected = any(sum(start <= t < start + window for t in times) >= limit for start in times)
    close = any(abs(abs(a - b) - window) < 1e-6 for a in times for b in times)  # rounding at the very edge
    assert close or (locked_out_at(times, limit, window, ()) is not None) == expected


@given(st.lists(st.floats(0, 1e6), max_size=20), st.floats(0, 1e6))
def test_another_attempt_never_opens_what_was_locked_out(times: list[float], more: float) -> None:
    if locked_out_at(times, 2, 900, ()) is not None:
        assert locked_out_at([*times, more], 2, 900, ()) is not None


def test_a_homelab_never_asks_for_an_approval_that_nobody_can_give() -> None:
    every = [gate for _, _, made in CASES.values() for gate in evaluate(replace(made(), policy=HOMELAB)) if gate.blocks]
    assert any(gate.name == "budget" for gate in every)
    assert not any(gate.clears_by_approval or "responder approve" in (gate.command or "") for gate in every)


@pytest.mark.parametrize("name", ["budget", "approval"])
@pytest.mark.parametrize("approved", [False, True])
def test_an_approval_is_asked_for_and_spent_by_a_gate_that_says_so_itself(name: str, approved: bool) -> None:
    asked = snapshot(
        environment="production", incident=severity("SEV1", "production"), attempts=FOUR,
        approvals=(approval(), approval(2, person="dan", roles=("incident_commander",))) if approved else (),
    )  # fmt: skip
    found = {gate.name: gate for gate in (check(asked) for check in GATES)}
    assert (found[name].spends_approval, found[name].clears_by_approval) == (approved, not approved)


def test_no_other_gate_asks_for_an_approval() -> None:
    every = [gate for _, _, build in CASES.values() for gate in (check(build()) for check in GATES)]
    assert {gate.name for gate in every if gate.spends_approval or gate.clears_by_approval} <= {
        "budget",
        "approval",
        "order",
    }


def test_a_rollout_under_way_is_called_that_and_says_until_when_it_is_waited_for() -> None:
    wait = Wait("Deployment web is rolling out", "2026-11-26T12:10:00Z")
    gate = target(snapshot(plan=PLAN.model_copy(update={"wait": wait})))
    assert (gate.status, gate.reason, gate.clears_at) == ("failed", wait.reason, wait.until)
