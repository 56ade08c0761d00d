"""What differs from how an object was, and whom a policy lets in. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.effects.kubernetes.front import lets_in
from sre_responder.effects.kubernetes.known_good import Good, difference, part_of
from sre_responder.model.known_good import KnownGood

VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)
PARTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def merged(now: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(now) if isinstance(now, dict) else {}
    for name, value in patch.items():
        result = {key: old for key, old in result.items() if key != name} | ({} if value is None else {name: merged(result.get(name), value)})  # fmt: skip
    return result


def bare(value: Any) -> Any:
    """Without what is empty: the API server has no such fields."""
    if isinstance(value, dict):
        return {name: kept for name, one in value.items() if (kept := bare(one)) not in ({}, [], False)}
    return value


@given(PARTS, PARTS)
def test_the_difference_makes_an_object_what_it_was_and_is_empty_then(
    now: dict[str, Any], good: dict[str, Any]
) -> None:
    patched = merged(now, difference(now, Good(good, "captured")))
    assert bare(patched) == bare(good)
    assert not difference(patched, Good(good, "captured"))


APPLIED = {
    "defaults of the API server stay": ({"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}, {"ports": [{"port": 80}]}, {}),
    "a selector holds what was applied and no more": ({"selector": {"app": "a", "tier": "b"}}, {"selector": {"app": "a"}}, {"selector": {"tier": None}}),
    "a list of another length is replaced": ({"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 80}]}, {"ports": [{"port": 80}]}),
}  # fmt: skip


@pytest.mark.parametrize("case", APPLIED)
def test_what_was_applied_leaves_out_what_the_api_server_fills_in(case: str) -> None:
    now, good, patch = APPLIED[case]
    assert difference(now, Good(good, "applied", whole=False)) == patch


PARTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Node": ({"spec": {"podCIDR": "10.0.0.0/8"}}, {"spec": {"unschedulable": False}}),
    "Deployment": ({"spec": {"template": {}}}, {}),
    "Service": ({"spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP"}}, {"spec": {"type": "ClusterIP"}}),
    "Service without an address": ({"spec": {"clusterIP": "None"}}, {"spec": {"clusterIP": "None"}}),
    "ConfigMap": ({"data": {"a": "b"}, "metadata": {"name": "x"}}, {"data": {"a": "b"}}),
}


@pytest.mark.parametrize("kind", PARTED)
def test_only_the_fields_that_are_restored_are_compared(kind: str) -> None:
    document, part = PARTED[kind]
    assert part_of(document, kind.split()[0]) == part


PORTS = {"8080", "web"}
POLICIES: dict[str, tuple[dict[str, Any], bool]] = {
    "no rule": ({"policyTypes": ["Ingress"]}, False),
    "no types means ingress": ({"ingress": []}, False),
    "egress alone, which isolates from nobody": ({"policyTypes": ["Egress"]}, True),
    "a rule without ports": ({"ingress": [{}]}, True),
    "the port by number": ({"ingress": [{"ports": [{"port": 8080}]}]}, True),
    "the port by name": ({"ingress": [{"ports": [{"port": "web"}]}]}, True),
    "another port": ({"ingress": [{"ports": [{"port": 80}]}]}, False),
    "a range with the port": ({"ingress": [{"ports": [{"port": 8000, "endPort": 9000}]}]}, True),
    "a range without the port": ({"ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}, False),
    "every port of a protocol": ({"ingress": [{"ports": [{"protocol": "TCP"}]}]}, True),
}


@pytest.mark.parametrize("case", POLICIES)
def test_a_policy_lets_somebody_in_by_its_rules(case: str) -> None:
    spec, open = POLICIES[case]
    assert lets_in([spec], PORTS) is open


def test_what_one_policy_lets_in_no_other_takes_back() -> None:
    closed, opened = {"ingress": []}, {"ingress": [{"ports": [{"port": "web"}]}]}
    assert lets_in([closed, opened], PORTS) and not lets_in([closed, closed], PORTS) and lets_in([], PORTS)
    assert not lets_in([closed, {"policyTypes": ["Egress"]}], PORTS), "what isolates from nobody lets nobody in either"


def test_what_was_captured_is_read_back_as_it_was() -> None:
    good = KnownGood({"Service/a": {"spec": {"x": 1}}}, frozenset({"Service", "Node"}), "abc", 0.0)
    assert KnownGood.of(good.document, 7.0) == KnownGood(good.objects, good.looked, "abc", 7.0)
