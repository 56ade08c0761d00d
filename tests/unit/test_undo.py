"""The undo capsule: a playbook that a person can run by hand, on the disk before anything changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder import undo
from sre_responder.model.plan import Plan

TASK = {"name": "Back", "ansible.builtin.file": {"src": "releases/2", "dest": "/app/current", "state": "link"}}


class _Reader(yaml.SafeLoader):
    """Reads `!unsafe` as Ansible does: as text that is no template."""


_Reader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def read(text: str) -> Any:
    return yaml.load(text, Loader=_Reader)


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "incident": "INC-1234", "runbook": "r", "runbook_digest": "d", "action": "release_rollback", "arguments": {}, "service": "checkout",
        "environment": "staging", "target": "release:/app", "before": {"release": "2"}, "after": {"release": "1"}, "undo": [TASK],
    }  # fmt: skip
    return Plan(**{**values, **changes})


@pytest.mark.parametrize(("host", "connection"), [("localhost", "local"), ("web1", None), ("web[1]", None)])
def test_capsule_is_a_playbook_for_the_host_that_was_changed(host: str, connection: str | None) -> None:
    [play] = read(undo.playbook(plan(), host))
    assert (play["hosts"], play.get("connection"), play["tasks"]) == (host, connection, [TASK])
    assert play["gather_facts"] is False


def test_capsule_says_by_hand_what_it_undoes() -> None:
    text = undo.playbook(plan(undo_note="Points back."), "localhost")
    assert text.startswith(f"# Undo of release_rollback on release:/app (plan {plan().digest}).\n# Points back.\n")


@pytest.mark.parametrize(
    ("note", "said"), [("", "There is nothing to undo."), ("The cache fills again.", "The cache fills again.")]
)
def test_without_an_undo_the_capsule_changes_nothing_and_says_so(note: str, said: str) -> None:
    text = undo.playbook(plan(undo=[], undo_note=note), "localhost")
    [play] = read(text)
    assert (play["hosts"], [[*task][1] for task in play["tasks"]]) == ("localhost", ["ansible.builtin.debug"])
    assert f"# {said}\n" in text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.text(), st.text(), st.text(min_size=1), VALUES)
def test_whatever_stands_in_a_plan_the_capsule_holds_its_undo_and_nothing_else(
    target: str, note: str, host: str, value: Any
) -> None:
    tasks = [{"name": "Back", "ansible.builtin.set_fact": {"x": value}}]
    [play] = read(undo.playbook(plan(target=target, undo_note=note, undo=tasks), host))
    assert (play["hosts"], play["tasks"]) == (host, tasks)


def test_capsule_is_found_by_its_plan_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "undo"
    path = undo.write(folder, plan(), "text")
    assert (path.name, path.read_text()) == (f"{plan().digest}.yml", "text")
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.iterdir()) == [path], "no draft is left"


def test_capsule_written_again_takes_the_old_ones_place(tmp_path: Path) -> None:
    undo.write(tmp_path, plan(), "old")
    assert undo.write(tmp_path, plan(), "new").read_text() == "new"


def test_capsule_is_durable_before_it_has_its_name_and_so_is_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append("folder" if path == tmp_path else path.read_text())
        fsync(descriptor)

    def named(draft: str, path: str) -> None:
        done.append("named")
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    undo.write(tmp_path, plan(), "the whole text")
    assert done == ["the whole text", "named", "folder"]
