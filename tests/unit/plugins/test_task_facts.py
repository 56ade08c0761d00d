"""Ansible's values in the library's plain words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.sre.responder.plugins.plugin_utils.task_facts import Reached, one_host, plain
from sre_responder.home.runbook import Runbook, task_digest

PLAIN = (bool, int, float, str, list, dict, type(None))


def kinds(value: Any) -> set[type]:
    """The exact types of a value and of everything in it."""
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {type(value)}.union(*map(kinds, inside))


def loaded(text: str) -> Any:
    """As Ansible's own loader gives it: every value tagged with its origin."""
    return DataLoader().load(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES)
def test_a_value_that_ansible_tagged_is_equal_and_plain_again(value: Any) -> None:
    tagged = loaded(json.dumps({"value": value}))
    found = plain(tagged)
    assert found == {"value": value}
    assert json.loads(json.dumps(found)) == found
    assert kinds(found) <= set(PLAIN)
    assert yaml.safe_dump(found)


def test_what_ansible_loads_is_not_plain_before() -> None:
    assert kinds(loaded("value: [x, 1]")).isdisjoint({dict, list, str, int})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (1, 1),
        (None, None),
        (math.inf, math.inf),
        ((1, "x"), [1, "x"]),
        ({3}, [3]),
        ({1: 2}, {"1": 2}),
        (Path("/srv"), "/srv"),
        (loaded("2026-01-02"), "2026-01-02"),
        (loaded("2026-01-02T03:04:05Z"), "2026-01-02 03:04:05+00:00"),
    ],
)
def test_other_kinds_become_the_nearest_plain_one(value: Any, expected: Any) -> None:
    found = plain(value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "written",
    ["x", '"yes"', "yes", "~", "12", "0o17", "017", "0x1F", "1_000", "1e3", "1.50", ".inf", "1:30", "2026-01-02", "2026-01-02 03:04:05",
     "{b: 1, a: [2, {c: ~}]}", "|\n          two\n          lines", ">\n          folded\n          text", '!unsafe "{{ x }}"', '"{{ to }}"'],
)  # fmt: skip
def test_a_task_has_the_same_digest_as_ansible_runs_it_and_as_the_library_reads_it(
    tmp_path: Path, written: str
) -> None:
    text = f"- hosts: localhost\n  tasks:\n    - name: Back\n      sre.responder.release_rollback:\n        to: {written}\n"
    (tmp_path / "runbook.yml").write_text(text)
    [step] = Runbook(tmp_path, None, False).steps
    [play] = DataLoader().load_from_file(str(tmp_path / "runbook.yml"))
    assert task_digest(plain(play["tasks"][0])) == step.digest


HOSTS: dict[str, dict[str, Any]] = {
    "web-dev": {"ansible_host": "10.0.0.5"},
    "web1": {"ansible_host": "10.0.0.5"},
    "web2": {"ansible_host": "10.0.0.6"},
    "box1": {"ansible_host": "127.0.0.1", "ansible_port": 2222},
    "10.0.0.5": {},
    "here": {"ansible_connection": "local"},
    "full": {"ansible_connection": "ansible.builtin.local"},
    "old": {"ansible_host": "10.0.0.9", "ansible_ssh_host": "127.0.0.1"},
    "loop": {"ansible_host": "127.0.0.1"},
    "bare.invalid": {},
}
GROUPS = {"all": list(HOSTS), "production": ["web1", "web2"], "empty": []}
SSH, LOCAL = Reached("ssh", "10.0.0.5", ""), Reached("ansible.builtin.local", "10.0.0.5", "")


@pytest.mark.parametrize(
    ("mine", "name", "expected"),
    [
        (SSH, "web-dev", True),
        (SSH, "web1", True),
        (SSH, "10.0.0.5", True),
        (SSH, "production", True),
        (SSH, "web?", True),
        (SSH, "all", True),
        (SSH, "web2", False),
        (SSH, "not.in.the.inventory.invalid", False),
        (SSH, "empty", False),
        (SSH, "bare.invalid", False),
        (SSH, "here", False),
        (LOCAL, "localhost", True),
        (LOCAL, "here", True),
        (LOCAL, "full", True),
        (LOCAL, "old", True),
        (LOCAL, "loop", True),
        (LOCAL, "bare.invalid", True),  # nothing says that it is another
        (LOCAL, "web2", False),
        (LOCAL, "box1", False),
        (LOCAL, "not.in.the.inventory.invalid", False),
        (Reached("ssh", "127.0.0.1", "2222"), "box1", True),
        (Reached("ssh", "127.0.0.1", "2223"), "box1", False),
    ],
)
def test_two_hosts_of_an_inventory_are_one_machine_where_they_are_reached_at_one_address(
    mine: Reached, name: str, expected: bool
) -> None:
    facts = {"inventory_hostname": "web-dev", "hostvars": HOSTS, "groups": GROUPS}
    assert one_host(name, facts, mine) is expected
