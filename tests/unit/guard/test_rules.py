"""Rules of the policy can refuse a plan or ask for more people; nothing that they say lets one pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.guard.gates import evaluate
from sre_responder.guard.gates.rules import facts, rules
from sre_responder.guard.snapshot import Snapshot
from sre_responder.home import policy as policies
from sre_responder.home.graph import Radius
from sre_responder.home.policy import PROFILES, Policy
from sre_responder.home.rule import EXAMPLE, FACTS
from sre_responder.model.actions import ACTIONS
from sre_responder.model.facts import Approval, Attempt, Incident
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request

NOW = 1_795_862_400.0  # a Saturday, 10:40 UTC
PLAN = Plan(
    incident="INC-1234", runbook="r", runbook_digest="d", action="release_rollback", arguments={"to": "1"}, service="checkout",
    environment="staging", target="release:/app", before={"release": "2"}, after={"release": "1"},
)  # fmt: skip


def seen(*written: dict[str, Any], profile: str = "production", **more: Any) -> Snapshot:
    named = {f"rule-{number}": {"because": "so it is", **rule} for number, rule in enumerate(written)}
    request = Request(
        action="release_rollback", incident="INC-1234", service="checkout", environment="staging", confirm_production=True,
        run="run", task="task", step="back", host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    policy = Policy.model_validate({"profile": profile, **PROFILES[profile], "rules": named})  # type: ignore[index]
    values: dict[str, Any] = {
        "now": NOW, "policy": policy, "request": request, "spec": ACTIONS["release_rollback"], "plan": PLAN, "symptom": "s",
        "incident": Incident("INC-1234", "checkout", "staging", "SEV3", "open"),
    }  # fmt: skip
    return Snapshot(**{**values, **more})


def grants(*people: str) -> tuple[Approval, ...]:
    return tuple(Approval(n, who, ("operator",), "grant", NOW - 5, NOW + 60, False) for n, who in enumerate(people))


TRIED = Attempt(1, "INC-1234", "s", "checkout", "http_cache_purge", 1, True, NOW - 600, "not_improved")
TRUE = {
    "service == 'checkout' && rung >= `3`",
    "plan.arguments.to == '1' && plan.before.release == '2'",
    "time.weekday == `6` && time.hour == `10`",
    "length(attempts[?outcome == 'not_improved' && minutes_ago <= `10`]) == `1`",
    "severity == 'SEV3' && environment != 'production' && !undo && !contained",
}


@pytest.mark.parametrize("expression", sorted(TRUE))
def test_a_rule_that_is_true_refuses_with_its_reason(expression: str) -> None:
    found = rules(seen({"refuse_when": expression}, attempts=(TRIED,)))
    assert (found.status, found.reason, found.clears_by_approval) == ("failed", "rule-0: so it is", False)


def test_one_that_is_false_refuses_nothing_nor_do_no_rules() -> None:
    assert rules(seen({"refuse_when": "rung == `4`"})).status == "passed"
    assert rules(seen()).status == "passed"


@pytest.mark.parametrize(
    "expression",
    ["rung", "plan.arguments.nothing", "service", "attempts", "rung > service", "length(rung)", "`1`", "'true'"],
)
@pytest.mark.parametrize("key", ["refuse_when", "needs_when"])
def test_what_is_neither_true_nor_false_refuses(expression: str, key: str) -> None:
    found = rules(seen({key: expression}, approvals=grants("iris", "otto", "ann")))
    assert (found.status, "rule-0: " in found.reason) == ("unknown", True)


def test_a_rule_asks_for_more_people_than_the_policy_does() -> None:
    rule = {"needs_when": "rung == `3`", "approvals": 2}
    one, two = rules(seen(rule, approvals=grants("iris"))), rules(seen(rule, approvals=grants("iris", "otto")))
    assert (one.status, one.clears_by_approval, "needs 2 approvals of this exact plan, has 1" in one.reason) == (
        "failed",
        True,
        True,
    )
    assert (two.status, two.spends_approval) == ("passed", True)
    same = rules(seen(rule, approvals=grants("iris", "iris")))
    assert same.status == "failed"


def test_without_approvers_what_needs_one_is_refused() -> None:
    found = rules(seen({"needs_when": "`true`"}, profile="homelab"))
    assert (found.status, found.clears_by_approval) == ("failed", False)


def test_an_undo_that_was_foreseen_needs_nobody_more_but_may_be_refused() -> None:
    assert rules(seen({"needs_when": "`true`"}, foreseen="it helped nothing")).status == "passed"
    assert rules(seen({"refuse_when": "`true`"}, foreseen="it helped nothing")).status == "failed"


EXPRESSIONS = st.sampled_from([*sorted(TRUE), "`true`", "`false`", "rung", "rung > service", "!undo"])
RULES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"refuse_when": EXPRESSIONS}),
        st.fixed_dictionaries({"needs_when": EXPRESSIONS, "approvals": st.integers(1, 3)}),
    ),
    max_size=3,
)


@given(
    RULES,
    st.sampled_from(["production", "team", "homelab"]),
    st.lists(st.sampled_from(["iris", "otto", "ann"]), max_size=3),
    st.booleans(),
)
def test_no_rule_turns_a_refusal_into_a_pass(
    written: list[dict[str, Any]], profile: str, people: list[str], scope: bool
) -> None:
    more: dict[str, Any] = {"approvals": grants(*people), "scope_identified": scope, "attempts": (TRIED,)}
    without, beside = evaluate(seen(profile=profile, **more)), evaluate(seen(*written, profile=profile, **more))
    before, after = ({gate.name: gate for gate in found if gate.name != "rules"} for found in (without, beside))
    assert before == after
    assert {gate.name for gate in without if gate.blocks} <= {gate.name for gate in beside if gate.blocks}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"refuse_when": "`true`", "needs_when": "`true`"},
        {"refuse_when": "rung =="},
        {"refuse_when": "servise == 'shop'"},
        {"refuse_when": "time.hours == `3`"},
        {"refuse_when": "plan.to == '1'"},
        {"refuse_when": "length(attempt[?rung == `3`]) > `1`"},
        {"refuse_when": "`true`", "allow": 1},
    ],
)
def test_what_is_no_rule_is_refused_with_the_policy(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate({"rules": {"x": {"because": "y", **rule}}})


def test_what_a_rule_may_name_is_what_it_is_given() -> None:
    given = facts(seen(radius=Radius("checkout", (), ())))
    assert set(given) == set(FACTS)
    assert all(set(given[name]) == parts for name, parts in FACTS.items() if parts)


def test_a_changed_rule_voids_approvals_and_the_example_is_sound(tmp_path: Any) -> None:
    assert seen({"refuse_when": "`true`"}).policy.limits != seen({"refuse_when": "`false`"}).policy.limits
    lines = [line.removeprefix("# ") for line in EXAMPLE.splitlines()[1:]]
    (tmp_path / "policy.yml").write_text("\n".join(lines))
    loaded = policies.load(tmp_path / "policy.yml")
    assert rules(seen().__class__(**{**vars(seen()), "policy": loaded})).status == "passed"
