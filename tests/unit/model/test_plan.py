"""A plan's digest: what people approve, no field more and no field less; secrets enter it unreadably."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.model.plan import Plan, Wait, canonical, drift, hide_secrets

PLAN = Plan(
    incident="INC-1234", runbook="r", runbook_digest="d", action="release_rollback", arguments={"to": "1"}, service="checkout",
    environment="staging", target="release:/app", before={"release": "2"}, after={"release": "1"},
)  # fmt: skip
OTHER: dict[str, Any] = {
    "incident": "INC-2",
    "runbook_digest": "e",
    "action": "supervisor_restart",
    "arguments": {"to": "0"},
    "service": "stock",
    "environment": "production",
    "target": "release:/other",
    "before": {"release": "3"},
    "basis": {"library": "0.2.0"},
    "runbook": "s",
    "after": {"release": "0"},
    "undo": [{"name": "x"}],
    "undo_note": "x",
    "diff": {"before": "x"},
    "evidence": {"load": 1},
    "busy": "STARTING",
    "wait": Wait("it is rolling out", "2026-11-26T12:10:00Z"),
    "capacity": 0.5,
    "overwrites": "x",
    "if_worse": "hand_over",
}
COVERED = {
    "incident",
    "runbook_digest",
    "action",
    "arguments",
    "service",
    "environment",
    "target",
    "before",
    "after",
    "basis",
    "if_worse",
}


def test_every_field_has_its_case() -> None:
    assert set(OTHER) == set(Plan.model_fields)


@pytest.mark.parametrize("field", OTHER)
def test_digest_covers_runbook_action_arguments_target_states_and_basis_and_nothing_else(field: str) -> None:
    assert (PLAN.model_copy(update={field: OTHER[field]}).digest != PLAN.digest) == (field in COVERED)


def test_short_is_the_beginning_that_people_type() -> None:
    assert PLAN.digest.startswith(PLAN.short) and len(PLAN.short) == 12


def test_digest_survives_being_kept_as_json() -> None:
    assert Plan.model_validate_json(PLAN.model_dump_json()).digest == PLAN.digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_canonical_text_is_ascii_json_of_the_value_whatever_the_order_of_its_keys(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert canonical(reversed_keys(value)) == text


@given(JSON, JSON)
def test_different_values_have_different_canonical_texts(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    """Equal in value and kind: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return repr(one) == repr(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, {"a": {1}}, b"x"])
def test_what_is_no_json_has_no_canonical_text(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


ARGUMENTS = st.dictionaries(st.sampled_from(["user", "token", "port", "password"]), JSON)
SECRETS = frozenset({"token", "password"})
KEYS = st.binary(min_size=16, max_size=32)


@given(ARGUMENTS, KEYS)
def test_only_secrets_are_replaced(arguments: dict[str, Any], key: bytes) -> None:
    hidden = hide_secrets(arguments, SECRETS, key)
    assert hidden.keys() == arguments.keys()
    assert {name: hidden[name] for name in hidden if name not in SECRETS} == {
        name: arguments[name] for name in arguments if name not in SECRETS
    }


@given(JSON, JSON, KEYS)
def test_a_changed_secret_changes_the_plan_and_the_same_one_does_not(one: Any, other: Any, key: bytes) -> None:
    hashes = [hide_secrets({"token": value}, SECRETS, key)["token"] for value in (one, one, other)]
    assert hashes[0] == hashes[1]
    assert (hashes[0] == hashes[2]) == (canonical(one) == canonical(other))


@given(st.text(min_size=1), KEYS, KEYS)
def test_a_secret_cannot_be_read_or_guessed_without_the_key(secret: str, key: bytes, other: bytes) -> None:
    hidden = hide_secrets({"token": secret}, SECRETS, key)["token"]
    kind, _, digest = hidden.partition(":")
    assert (kind, len(digest), int(digest, 16) >= 0) == ("hmac-sha256", 64, True)
    assert (hide_secrets({"token": secret}, SECRETS, other)["token"] == hidden) == (key == other)


def test_drift_names_each_covered_value_that_differs_and_no_other() -> None:
    now = PLAN.model_copy(update={"before": {"release": "3"}, "diff": {"before": "x"}, "basis": {"library": "0.2.0"}})
    assert drift(PLAN, now) == [("basis.library", None, "0.2.0"), ("before.release", PLAN.before["release"], "3")]
    assert drift(PLAN, PLAN) == []
