"""What Ansible would not load is named before it is registered: with the line, and by Ansible's own list of words."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.play import Play

from sre_responder.home.loadable import BLOCK_KEYWORDS, PLAY_KEYWORDS, Unloadable, unloadable
from sre_responder.home.runbook import KEYWORDS, plays

SOUND = """\
- hosts: localhost
  vars: {a: 1}
  environment: [{HTTPS_PROXY: x}, "{{ more }}"]
  tasks:
    - name: 5
      ansible.builtin.ping:
      environment: {TZ: UTC}
      when: [true, "x is defined"]
      tags: [a]
      loop: "{{ y }}"
      retries: "{{ n }}"
      become: 1
      register: found_1
    -
    - {name: 2026-01-01, ansible.builtin.ping: }
    - block:
        - action: ansible.builtin.ping
      rescue:
        - local_action: {module: ansible.builtin.ping}
      always:
        - ansible.builtin.ping:
          with_items: [1]
  handlers:
    - {name: x, ansible.builtin.ping: , listen: x}
"""


def found(tmp_path: Path, text: str) -> list[Unloadable]:
    (tmp_path / "runbook.yml").write_text(text)
    return [one for play, node in plays(tmp_path / "runbook.yml") for one in unloadable(play, node)]


def test_the_words_are_those_of_ansible() -> None:
    assert set(Play.fattributes) <= PLAY_KEYWORDS
    assert set(Block.fattributes) <= BLOCK_KEYWORDS
    assert set(Handler.fattributes) - {"async_val", "loop_with"} <= KEYWORDS


def test_a_sound_play_has_nothing_that_is_not_loaded(tmp_path: Path) -> None:
    assert found(tmp_path, SOUND) == []
    assert found(tmp_path, "- import_playbook: x.yml\n- ansible.builtin.import_playbook: y.yml\n") == []


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "      tags: [a]",
            "      name2: x",
            5,
            "a task has one module, and this one names ansible.builtin.ping, name2",
        ),
        ("    - name: 5\n", "    - 5\n    - name: 5\n", 5, "'5' is no task"),
        ("    - name: 5\n", "    - [ping]\n    - name: 5\n", 5, "is no task"),
        ("    - name: 5\n", "    - name: only a name\n    - name: 5\n", 5, "the task names no module"),
        ("{TZ: UTC}", "5", 5, "environment is a mapping or a list or text, and not '5'"),
        ("{TZ: UTC}", "[5]", 5, "environment is"),
        ("  vars: {a: 1}", "  vars: 5", 1, "vars is a mapping"),
        ("      become: 1", "      become: [x]", 5, "become is true or false or a number or text"),
        ('"{{ n }}"', "{a: 1}", 5, "retries is a number"),
        ("      register: found_1", "      register: a-b", 5, "register is the name of a variable"),
        ("      register: found_1", "      with_items: [1]", 5, "a task has one loop"),
        ("      register: found_1", "      loop_control: x", 5, "are mappings"),
        ("- hosts: localhost", "- name: x", 1, "the play names no hosts"),
        ("  vars: {a: 1}", "  varz: {a: 1}", 1, "'varz' is no keyword of a play"),
        ("    - block:", "    - retries: 5\n      block:", 16, "'retries' is no keyword of a block"),
        ("        - action: ansible.builtin.ping", "        - true", 17, "'True' is no task"),
        ("      always:\n        - ansible", "      always:\n        - x: 1\n          ansible", 21, "one module"),
        ("  handlers:\n", "  handlers: x\n  post_tasks:\n", 1, "handlers is a list"),
    ],
)
def test_what_ansible_would_not_load_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert SOUND.count(old) == 1
    [one] = found(tmp_path, SOUND.replace(old, new))
    assert (one.line, words in one.message) == (line, True), one
    assert one.cure
