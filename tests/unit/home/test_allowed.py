"""What a policy may allow `perform`, and which arguments a task may give."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.home.allowed import Allowed, how_to_allow, unfit
from sre_responder.home.policy import Policy
from sre_responder.model.actions import ACTIONS, UNDO

ENTRY: dict[str, Any] = {
    "rung": 2,
    "target": "name",
    "args": {"name": "[a-z]+", "state": ["present", True], "ports": "[0-9]+", "options": [{"a": 1}]},
    "undo": "none",
    "because": "a test",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("ansible.builtin.command", "runs code"),
        ("ansible.builtin.include_tasks", "runs code"),
        ("ansible.builtin.template", "runs code"),
        ("ansible.windows.win_shell", "runs code"),
        ("kubernetes.core.k8s_exec", "runs code"),
        ("cisco.ios.ios_command", "runs code"),
        ("ansible.legacy.copy", "write ansible.builtin.copy"),
        ("sre.responder.undo", "has its own guard"),
        ("lineinfile", "not the whole name"),
        ("a.b.c; d", "not the whole name"),
        ("a.b.c\n", "not the whole name"),
        ("{{ a.b.c }}", "not the whole name"),
        ("community.general.ufw", None),
        ("community.general.proxmox_template", None),
        ("acme.tools.deep.tidy", None),
    ],
)
def test_module_is_unfit_by_its_name(module: str, why: str | None) -> None:
    assert (unfit(module) is None) is (why is None)
    assert why is None or why in str(unfit(module))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"because": " "}, "needs because"),
        ({"args": {"_raw_params": ".*"}}, "free text"),
        ({"args": {"name": "("}}, "not a regular expression"),
        ({"args": {"name": ".*", "validate": ".*"}}, "validate is a command"),
        ({"secrets": ["password"]}, "does not allow"),
        ({"target": "("}, "not JMESPath"),
        ({"undo": {"module": "ansible.builtin.shell", "args": "args"}}, "runs code"),
        ({"rung": 5}, "rung"),
        ({"seconds": 0}, "seconds"),
    ],
)
def test_entry_that_could_not_be_meant_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Allowed.model_validate({**ENTRY, **change})


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"name": "web", "state": "present"}, None),
        ({"state": True, "options": {"a": 1}, "ports": [80, "443"]}, None),
        ({"other": 1}, "does not allow other"),
        ({"name": "Web"}, "for name"),
        ({"name": "web\n"}, "for name"),
        ({"name": "ｗeb"}, "for name"),
        ({"name": None}, "for name"),
        ({"state": 1}, "for state"),
        ({"ports": []}, "for ports"),
        ({"ports": [80, "x"]}, "for ports"),
        ({"options": {"a": 2}}, "for options"),
        ({"name": {"web": 1}}, "for name"),
    ],
)
def test_argument_is_allowed_whole_or_not_at_all(args: dict[str, Any], why: str | None) -> None:
    refusal = Allowed.model_validate(ENTRY).refusal(args)
    assert (refusal is None) is (why is None)
    assert why is None or why in str(refusal)


@given(JSON)
def test_no_value_passes_a_pattern_that_matches_nothing(value: Any) -> None:
    assert Allowed.model_validate({**ENTRY, "args": {"name": "(?!)"}}).refusal({"name": value})


def test_refusal_of_a_secret_does_not_show_it() -> None:
    entry = Allowed.model_validate({**ENTRY, "args": {**ENTRY["args"], "password": ["right"]}, "secrets": ["password"]})
    assert "wrong" not in str(entry.refusal({"password": "wrong"}))


def test_policy_knows_the_actions_of_ours_the_undo_and_those_it_allows() -> None:
    policy = Policy.model_validate({"perform": {"acme.tools.tidy": {**ENTRY, "secrets": ["name"]}}})
    spec = policy.action("acme.tools.tidy")
    assert spec is not None and (spec.rung, spec.on_host, spec.undoable, spec.secrets) == (2, True, False, {"name"})
    assert (policy.action("undo"), policy.action("redis_clear")) == (UNDO, ACTIONS["redis_clear"])
    assert (policy.action("perform"), policy.action("acme.tools.other")) == (None, None)


@pytest.mark.parametrize(("rung", "seconds", "limit"), [(2, 90, 90), (2, 3000, 3000), (3, 90, 90), (3, 3000, 300)])
def test_time_limit_is_the_entry_s_and_of_a_rollback_at_most_that_of_all(
    rung: int, seconds: float, limit: float
) -> None:
    policy = Policy.model_validate({"perform": {"acme.tools.tidy": {**ENTRY, "rung": rung, "seconds": seconds}}})
    spec = policy.action("acme.tools.tidy")
    assert spec is not None and policy.act_limit(spec, None) == limit


def test_what_is_said_of_how_to_allow_a_module_can_be_written_into_the_policy() -> None:
    written = yaml.safe_load(how_to_allow("acme.tools.tidy").partition("policy.yml: ")[2])
    assert "acme.tools.tidy" in Policy.model_validate(written).perform
