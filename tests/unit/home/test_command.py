"""What the policy may allow as a command that measures, and what a criterion may give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.home import policy
from sre_responder.home.command import Command
from sre_responder.home.policy import Policy

DEPTH: dict[str, Any] = {
    "run": ["/usr/local/bin/depth", "--queue={queue}", "{unit}"],
    "args": {"queue": ".*", "unit": ["messages"]},
}


def test_the_words_are_the_policy_s_with_the_arguments_in_their_places() -> None:
    words = Command.model_validate(DEPTH).words({"queue": "a {unit} $(id)", "unit": "messages"})
    assert words == ["/usr/local/bin/depth", "--queue=a {unit} $(id)", "messages"]


@given(st.text())
def test_no_value_changes_the_program_or_becomes_an_option_or_another_word(value: str) -> None:
    command = Command.model_validate({"run": ["/usr/local/bin/depth", "{queue}"], "args": {"queue": "(?s:.*)"}})
    try:
        words = command.words({"queue": value})
    except ValueError:
        assert not value or value.startswith("-") or not value.isascii() or not value.isprintable()
    else:
        assert words == ["/usr/local/bin/depth", value]
        assert value and not value.startswith("-") and value.isprintable()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"queue": "a"}, "unit: the command needs this"),
        ({"queue": "a", "unit": "messages", "host": "b"}, "does not allow host"),
        ({"queue": "a", "unit": "bytes"}, "does not allow 'bytes' for unit"),
        ({"queue": "", "unit": "messages"}, "is empty"),
        ({"queue": "-o/etc/passwd", "unit": "messages"}, "could be an option"),
    ],
)
def test_arguments_that_the_policy_does_not_allow_are_refused(args: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Command.model_validate(DEPTH).words(args)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"run": []}, "at least 1 item"),
        ({"run": ["depth"]}, "not an absolute path"),
        ({"run": ["/usr/../tmp/depth"]}, "not an absolute path"),
        ({"run": ["/usr/bin/{tool}"], "args": {"tool": "[a-z]+"}}, "not an absolute path"),
        ({"run": ["/bin/sh", "-c", "depth {queue}"], "args": {"queue": "[a-z]+"}}, "sh runs what its arguments say"),
        ({"run": ["/usr/bin/python3.11", "/opt/depth.py"]}, "runs what its arguments say"),
        ({"run": ["/usr/bin/env", "depth"]}, "runs what its arguments say"),
        ({"run": ["/usr/bin/depth", "{queue}"]}, "queue: each of args"),
        ({"run": ["/usr/bin/depth"], "args": {"queue": "a"}}, "queue: each of args"),
        ({"run": ["/usr/bin/depth", "{q}"], "args": {"q": "("}}, "not a regular expression"),
        ({"run": ["/usr/bin/depth"], "environment": {"LD_PRELOAD": "x"}}, "decides which code is loaded"),
        ({"run": ["/usr/bin/depth"], "environment": {"PATH": "/tmp"}}, "decides which code is loaded"),
        ({"run": ["/usr/bin/depth"], "environment": {"TOKEN": {"env": "PYTHONPATH"}}}, "decides which code is loaded"),
        ({"run": ["/usr/bin/depth"], "shell": True}, "Extra inputs"),
    ],
)
def test_what_could_run_something_else_is_no_command(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Policy.model_validate({"commands": {"depth": written}})


def test_a_changed_command_voids_approvals_and_its_secret_s_variable_reaches_a_run() -> None:
    token = {"environment": {"TOKEN": {"env": "QUEUE_TOKEN"}}}
    plain, other = (Policy.model_validate({"commands": {"depth": {**DEPTH, **more}}}) for more in ({}, token))
    assert plain.limits != other.limits
    assert (plain.variables, other.variables) == (frozenset(), {"QUEUE_TOKEN"})


def test_the_example_of_the_policy_file_is_a_command(tmp_path: Path) -> None:
    text = policy.example("production")
    example = text[text.index("# commands:\n") :].split("\n\n")[0].replace("# ", "", 1).replace("\n# ", "\n")
    (tmp_path / "policy.yml").write_text(example)
    known = policy.load(tmp_path / "policy.yml").command("queue-depth")
    assert known.words({"queue": "orders"})[-1] == "orders"
