"""Ways to make the source `command` run something else than what the policy says. Each asserts by the disk that nothing ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import home_with

from sre_responder.errors import InputError
from sre_responder.evidence.looks import taken
from sre_responder.home import Home, find
from sre_responder.model.criterion import look
from sre_responder.model.look import Sample


class Tool:
    """A home whose policy allows one program, which leaves a trace and prints its argument's length."""

    def __init__(self, root: Path) -> None:
        self.trace, self.program = root / "trace", root / "bin" / "depth"
        self.made = home_with(root, f"sqlite:///{root / 'state' / 'ledger.db'}")
        self.program.parent.mkdir()
        self.write(self.program)
        self.allow()

    def write(self, path: Path, trace: str = "honest") -> None:
        path.write_text(f'#!/bin/sh\necho "{trace} $*" >> {self.trace}\nset -- "$1"; echo ${{#1}}\n')
        path.chmod(0o755)

    def allow(self, **more: Any) -> None:
        command = {"run": [str(self.program), "{queue}"], "args": {"queue": ".*"}, **more}
        path = self.made.folder / "policy.yml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "commands": {"depth": command}}))

    @property
    def home(self) -> Home:
        return find({"RESPONDER_HOME": str(self.made.folder), "RESPONDER_LEDGER": self.made.ledger_url})

    def sample(self, **more: Any) -> Sample:
        written = {"source": "command", "command": "depth", "args": {"queue": "$service"}, "below": 100, **more}
        return taken("must", look(written), self.home.place("checkout", "dev")).sample


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


def test_the_command_is_real_it_runs_and_measures(tool: Tool) -> None:
    found = tool.sample()
    assert (found.ok, found.value, tool.trace.read_text()) == (True, 8.0, "honest checkout\n"), found.reason


def _label(tool: Tool, value: str) -> None:
    path = tool.made.folder / "catalogue.yml"
    service = yaml.safe_load(path.read_text())
    service["metadata"]["annotations"]["responder/label-queue"] = value
    path.write_text(yaml.safe_dump(service))


def _linked(tool: Tool) -> None:
    other = tool.program.with_name("other")
    tool.write(other, "other")
    tool.program.unlink()
    tool.program.symlink_to(other)


def _linked_folder(tool: Tool) -> None:
    folder = tool.program.parent
    other = folder.rename(folder.with_name("other"))
    folder.symlink_to(other)


WAYS: dict[str, tuple[Callable[[Tool], Any], dict[str, Any], str]] = {
    "a value that is an option": (lambda t: None, {"args": {"queue": "--exec=id"}}, "could be an option"),
    "a label that is an option": (lambda t: _label(t, "-x"), {"args": {"queue": "$queue"}}, "could be an option"),
    "a value of several lines": (lambda t: t.allow(args={"queue": "(?s:.*)"}), {"args": {"queue": "a\nb"}}, "one line"),
    "an empty value": (lambda t: None, {"args": {"queue": ""}}, "is empty"),
    "an argument more": (lambda t: None, {"args": {"queue": "a", "and": "b"}}, "does not allow and"),
    "an argument left out": (lambda t: None, {"args": {}}, "needs this"),
    "another program": (lambda t: None, {"command": "/bin/date"}, "does not allow the command"),
    "a path for a name": (lambda t: None, {"command": "../bin/depth"}, "does not allow the command"),
    "a value that the policy does not allow": (lambda t: t.allow(args={"queue": "[a-z]+"}), {"args": {"queue": "a;id"}}, "for queue"),
    "a template": (lambda t: t.allow(args={"queue": "[a-z]+"}), {"args": {"queue": "{{ 'a' }}"}}, "for queue"),
    "a link in the place of the program": (_linked, {}, "a link"),
    "a link in the place of its folder": (_linked_folder, {}, "a link"),
    "a program that others may write": (lambda t: t.program.chmod(0o777), {}, "can be written by others"),
    "a folder that others may write": (lambda t: t.program.parent.chmod(0o777), {}, "can be written by others"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_nothing_else_than_the_policy_s_command_is_run(tool: Tool, way: str) -> None:
    prepare, more, words = WAYS[way]
    prepare(tool)
    found = tool.sample(**more)
    assert (found.ok, words in found.reason, tool.trace.exists()) == (None, True, False), found.reason


def test_a_template_in_a_value_stays_text(tool: Tool) -> None:
    assert tool.sample(args={"queue": "{queue} {{ 7 * 7 }} $(id)"}).value == 25
    assert tool.trace.read_text() == "honest {queue} {{ 7 * 7 }} $(id)\n"


def test_a_program_of_that_name_on_the_path_is_not_run(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tool.program.parents[1] / "fake"
    fake.mkdir()
    for name in ("depth", "sh", "echo"):
        tool.write(fake / name, "fake")
    monkeypatch.setenv("PATH", str(fake))
    monkeypatch.chdir(fake)
    monkeypatch.setenv("ENV", str(fake / "depth"))
    assert tool.sample().ok is True
    assert tool.trace.read_text() == "honest checkout\n"


@pytest.mark.parametrize("run", [["depth"], ["./depth"], ["/bin/sh", "-c", "depth"], ["/usr/bin/env", "depth"]])
def test_a_policy_with_a_relative_program_or_a_shell_is_refused_whole(tool: Tool, run: list[str]) -> None:
    tool.allow(run=[*run, "{queue}"])
    with pytest.raises(InputError, match="depth"):
        _ = tool.home.policy
    assert tool.sample is not None and not tool.trace.exists()
