"""What of a playbook Ansible would not load: an unknown word, a task that is none, a value of another kind.

Told where it stands and before it is registered, without starting Ansible, which would run the lookups in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

import yaml

from sre_responder.home.runbook import BLOCKS, KEYWORDS, SECTIONS, child
from sre_responder.model.names import shown

_COMMON = frozenset(
    [
        "any_errors_fatal",
        "become",
        "become_exe",
        "become_flags",
        "become_method",
        "become_user",
        "check_mode",
        "collections",
        "connection",
        "debugger",
        "diff",
        "environment",
        "ignore_errors",
        "ignore_unreachable",
        "module_defaults",
        "name",
        "no_log",
        "port",
        "remote_user",
        "run_once",
        "tags",
        "throttle",
        "timeout",
        "vars",
    ]
)
BLOCK_KEYWORDS = _COMMON | {*BLOCKS, "delegate_facts", "delegate_to", "notify", "when"}
PLAY_KEYWORDS = _COMMON | {*SECTIONS} | frozenset(
    ["fact_path", "force_handlers", "gather_facts", "gather_subset", "gather_timeout", "hosts", "max_fail_percentage", "order", "roles", "serial", "strategy", "user", "validate_argspec", "vars_files", "vars_prompt"]
)  # fmt: skip
_BOOL, _NUMBER, _TEXT, _LIST, _MAPPING = (
    (bool, int, str),
    (int, float, str),
    (str, int, float, date),
    (list, str),
    (dict, str),
)
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("any_errors_fatal", "become", "check_mode", "delegate_facts", "diff", "force_handlers", "gather_facts", "ignore_errors",
         "ignore_unreachable", "no_log", "run_once"), _BOOL),
    **dict.fromkeys(("async", "delay", "gather_timeout", "max_fail_percentage", "poll", "port", "retries", "throttle", "timeout"), _NUMBER),
    **dict.fromkeys(
        ("become_exe", "become_flags", "become_method", "become_user", "connection", "debugger", "delegate_to", "fact_path", "name", "order",
         "register", "remote_user", "strategy"), _TEXT),
    **dict.fromkeys(("collections", "gather_subset", "hosts", "loop", "notify", "tags", "vars_files"), _LIST),
    **dict.fromkeys(("args", "loop_control"), _MAPPING),
    **dict.fromkeys(("environment", "module_defaults", "vars"), (dict, list, str)),
    **dict.fromkeys((*SECTIONS, *BLOCKS, "roles", "vars_prompt"), (list,)),
}  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WORDS = {bool: "true or false", str: "text", int: "a number", list: "a list", dict: "a mapping"}


class Unloadable(NamedTuple):
    """What is wrong, in which line, and the cure."""

    line: int
    message: str
    cure: str


def unloadable(play: Mapping[str, Any], node: yaml.Node) -> Iterator[Unloadable]:
    """Everything in a play that Ansible would not load."""
    if any(str(key).rpartition(".")[2] == "import_playbook" for key in play):
        return
    line = node.start_mark.line + 1
    yield from _keywords("a play", play, PLAY_KEYWORDS, node)
    if "hosts" not in play:
        yield Unloadable(line, "the play names no hosts", "Write hosts: localhost, or a group of the inventory.")
    for section in SECTIONS:
        yield from _tasks(play.get(section), child(node, section))


def _tasks(written: Any, node: yaml.Node | None) -> Iterator[Unloadable]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else []
    for task, place in zip(written if isinstance(written, list) else [], nodes, strict=False):
        line = place.start_mark.line + 1
        if task is None:  # Ansible passes over an empty line
            continue
        if not isinstance(task, dict):
            yield Unloadable(line, f"'{shown(task, 40)}' is no task", "Write a mapping: name, a module, its options.")
        elif any(part in task for part in BLOCKS):
            yield from _keywords("a block", task, BLOCK_KEYWORDS, place)
            if task.get("block") is None:
                yield Unloadable(
                    line, "rescue and always stand without a block", "Put the tasks before them into block."
                )
            for part in BLOCKS:
                yield from _tasks(task.get(part), child(place, part))
        else:
            yield from _task(task, place)


def _task(task: Mapping[str, Any], node: yaml.Node) -> Iterator[Unloadable]:
    line = node.start_mark.line + 1
    modules = [str(key) for key in task if key not in KEYWORDS and not str(key).startswith("with_")]
    modules += [key for key in ("action", "local_action") if key in task]
    if not modules:
        yield Unloadable(line, "the task names no module", "Write one, such as sre.responder.note.")
    elif len(modules) > 1:
        words = ", ".join(shown(name, 64) for name in modules)
        yield Unloadable(
            line, f"a task has one module, and this one names {words}", "Keep one; correct misspelled keywords."
        )
    loops = [str(key) for key in task if key == "loop" or str(key).startswith("with_")]
    if len(loops) > 1:
        yield Unloadable(line, f"a task has one loop, and this one has {', '.join(loops)}", "Keep one.")
    if (name := task.get("register")) is not None and not _VARIABLE.fullmatch(str(name)):
        words = f"register is the name of a variable, and not '{shown(name, 40)}'"
        yield Unloadable(line, words, "Use letters, digits and _, and begin with a letter.")
    if isinstance(task.get("vars"), list | str) or isinstance(task.get("loop_control"), str):
        yield Unloadable(line, "vars and loop_control of a task are mappings", "Write {name: value}.")
    yield from _kinds(task, node)


def _keywords(where: str, written: Mapping[str, Any], known: frozenset[str], node: yaml.Node) -> Iterator[Unloadable]:
    line = node.start_mark.line + 1
    for key in written:
        if key not in known:
            yield Unloadable(line, f"'{shown(key, 64)}' is no keyword of {where}", "Correct or remove it.")
    yield from _kinds(written, node)


def _kinds(written: Mapping[str, Any], node: yaml.Node) -> Iterator[Unloadable]:
    for key, value in written.items():
        kinds = _KINDS.get(str(key))
        if kinds is None or value is None:
            continue
        items = value if key in ("environment", "vars", "module_defaults") and isinstance(value, list) else []
        if not isinstance(value, kinds) or any(not isinstance(item, dict | str) for item in items):
            allowed = " or ".join(dict.fromkeys(_WORDS[kind] for kind in kinds if kind in _WORDS))
            words = f"{key} is {allowed}, and not '{shown(value, 40)}'"
            yield Unloadable(node.start_mark.line + 1, words, "Correct it.")
