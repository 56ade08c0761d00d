"""What the answer of a module's check mode says of its target."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.effects import Change, perform
from sre_responder.errors import EffectFailed, InputError

DIFF = {"before": "a\n", "after": "b\n", "before_header": "/x (content)"}
CHANGES = {"changed": True, "diff": DIFF}
AS_WANTED = {"changed": False}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"skipped": True, "changed": True}, "skips itself"),
        ({}, "does not say"),
        ({"changed": "yes"}, "does not say"),
        ({"changed": False, "diff": DIFF}, "shows a difference"),
        ({"changed": False, "diff": [{"before": "a", "after": "a"}, DIFF]}, "shows a difference"),
    ],
)
def test_answer_that_shows_no_plan_is_refused(answer: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        perform.check("acme.tools.tidy", answer)


@pytest.mark.parametrize("diff", [None, {}, [], DIFF, [DIFF, {"prepared": "text"}], "text", [{"after": "b"}]])
def test_state_before_is_never_the_one_that_is_predicted(diff: Any) -> None:
    answer = {"changed": True, "diff": diff}
    for hidden in (False, True):
        assert perform.state(answer, hidden=hidden) != perform.predicted(answer, hidden=hidden)


def test_states_are_those_of_the_diff() -> None:
    assert perform.state(CHANGES, hidden=False) == {"as_wanted": False, "is": ["a\n"]}
    assert perform.predicted(CHANGES, hidden=False) == {"as_wanted": True, "is": ["b\n"]}
    assert perform.state(AS_WANTED, hidden=False) == perform.predicted(AS_WANTED, hidden=False) == {"as_wanted": True}


def test_long_side_stands_by_its_digest_and_two_of_them_differ() -> None:
    states = [perform.state({"changed": True, "diff": {"before": text * 999}}, hidden=False)["is"] for text in "ab"]
    assert all(one.startswith("sha256:") for one in states) and states[0] != states[1]


def test_what_is_hidden_is_in_no_state_and_no_diff() -> None:
    said = [f(CHANGES, hidden=True) for f in (perform.state, perform.predicted, perform.diff)]
    assert said == [{"as_wanted": False}, {"as_wanted": True}, {}]


@pytest.mark.parametrize(
    ("expression", "args", "found"),
    [
        ("path", {"path": "/etc//app/../app.conf"}, "/etc/app.conf"),
        ("[name, zone]", {"name": "web", "zone": "a"}, '["web","a"]'),
        ("port", {"port": 80}, "80"),
        ("name", {"name": " web "}, "web"),
    ],
)
def test_one_target_has_one_name(expression: str, args: dict[str, Any], found: str) -> None:
    assert perform.target("acme.tools.tidy", expression, args) == found


@pytest.mark.parametrize(
    ("expression", "args"),
    [
        ("name", {}),
        ("name", {"name": ""}),
        ("[name, zone]", {"name": "web"}),
        ("name", {"name": "a'b"}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "x" * 999}),
    ],
)
def test_target_that_is_empty_or_cannot_be_typed_is_refused(expression: str, args: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        perform.target("acme.tools.tidy", expression, args)


@pytest.mark.parametrize(
    ("source", "supports"),
    [
        ("AnsibleModule(argument_spec={}, supports_check_mode=True)", True),
        ("module = dict(supports_check_mode=True)", True),
        ("spec = {'supports_check_mode': True}", True),
        ("AnsibleModule(argument_spec={}, supports_check_mode=False)", False),
        ("AnsibleModule(argument_spec={})  # supports_check_mode=True", False),
        ("'supports_check_mode=True'", False),
        ("spec = {**other}", False),
    ],
)
def test_source_says_whether_there_is_a_check_mode(source: str, supports: bool) -> None:
    assert perform.supports_check_mode(source) is supports


def test_undo_is_written_from_arguments_and_the_side_before() -> None:
    task = perform.undo(
        "acme.tools.tidy", "{path: args.path, line: before, mode: args.mode}", {"path": "/x"}, CHANGES, {"become": True}
    )
    assert task == {
        "name": "Restore with acme.tools.tidy",
        "acme.tools.tidy": {"path": "/x", "line": "a\n"},
        "become": True,
    }
    with pytest.raises(InputError, match="gives no arguments"):
        perform.undo("acme.tools.tidy", "{path: args.none}", {}, CHANGES, {})


@given(st.booleans(), st.text(), st.text())
def test_what_became_of_it_is_told_only_by_the_two_states_that_were_planned(
    changed: bool, planned: str, now: str
) -> None:
    old = {"changed": True, "diff": {"before": planned}}
    change = Change("t", perform.state(old, hidden=False), perform.predicted(old, hidden=False))
    state = perform.state({"changed": changed, "diff": {"before": now}}, hidden=False)
    expected = "done" if not changed else "not_done" if now == planned else None
    assert perform.became(change, state) == expected


def test_module_with_hidden_arguments_is_not_asked_again() -> None:
    with pytest.raises(EffectFailed, match="written nowhere"):
        perform.probe("acme.tools.tidy", hidden=True).arguments({})
