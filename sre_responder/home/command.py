"""A command that the policy lets criteria measure by: which program, what each argument may be, and all that it is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from sre_responder.home.allowed import Values, misfit
from sre_responder.home.section import Section
from sre_responder.home.variables import LOADS_CODE
from sre_responder.model.names import shown
from sre_responder.system import program
from sre_responder.system.secret import Secret

Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
_ARGUMENT = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_STARTS_OTHERS = re.compile(
    r"(ba|da|z|k|c|tc|fi)?sh|busybox|env|sudo|doas|su|runuser|setpriv|chroot|unshare|nsenter|xargs|find|timeout|nice|nohup|setsid|ssh"
    r"|python[0-9.]*|perl[0-9.]*|ruby[0-9.]*|node|php[0-9.]*|lua[0-9.]*|[gmn]?awk|sed"
)
"""Programs that run what their arguments say."""


class Command(Section):
    """One read-only command; its exact words are the policy's, save for arguments of which the policy says what they may be."""

    run: tuple[str, ...] = Field(
        min_length=1,
        description="The program's absolute path and its arguments, without a shell; {NAME} is one of args.",
    )
    args: Mapping[str, Values] = Field(
        default_factory=dict,
        description="What a criterion gives; each a regular expression for the whole value, or a list of values.",
    )
    environment: Mapping[Variable, str | Secret] = Field(
        default_factory=dict, description="Variables that it gets beside PATH and LANG; a secret is a reference."
    )
    seconds: float = Field(10, gt=0, le=60, description="When it is ended, if the criterion's timeout_s is longer.")

    @field_validator("environment")
    @classmethod
    def _harmless(cls, variables: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        kept_in = [value.env or "" for value in variables.values() if isinstance(value, Secret)]
        if loads := [name for name in (*variables, *kept_in) if name.startswith(LOADS_CODE)]:
            raise ValueError(f"{', '.join(loads)} decides which code is loaded; use another variable")
        return variables

    @model_validator(mode="after")
    def _sound(self) -> Command:
        path = Path(self.run[0])
        if not path.is_absolute() or ".." in path.parts or _ARGUMENT.search(self.run[0]):
            raise ValueError(f"'{shown(self.run[0])}' is not an absolute path: write /usr/local/bin/NAME")
        if _STARTS_OTHERS.fullmatch(path.name):
            raise ValueError(f"{path.name} runs what its arguments say: write a program of its own, and name that")
        used = {name for word in self.run for name in _ARGUMENT.findall(word)}
        if used != set(self.args):
            differing = ", ".join(sorted(used ^ set(self.args)))
            raise ValueError(f"{differing}: each of args stands in run as {{NAME}}, and each {{NAME}} in args")
        return self

    @property
    def variables(self) -> frozenset[str]:
        """Environment variables in which its secrets are kept."""
        return frozenset(one.env for one in self.environment.values() if isinstance(one, Secret) and one.env)

    def words(self, given: Mapping[str, str]) -> list[str]:
        """What is run. ValueError for arguments that the policy does not allow, or that a program could take for an option."""
        if missing := sorted(set(self.args) - set(given)):
            raise ValueError(f"{', '.join(missing)}: the command needs this in args")
        if why := misfit(given, self.args):
            raise ValueError(why)
        for name, value in given.items():
            if not value or value.startswith("-") or not value.isprintable():
                why = (
                    "is empty" if not value else "could be an option" if value[0] == "-" else "is not one line of text"
                )
                raise ValueError(f"'{shown(value, 60)}' for {name} {why}")
        return [_ARGUMENT.sub(lambda found: given[found[1]], word) for word in self.run]

    def printed(self, given: Mapping[str, str], timeout_s: float) -> str:
        """What it prints. ValueError or OSError where that is nothing to go by."""
        variables = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in self.environment.items()
        }
        return program.printed(self.words(given), variables, min(self.seconds, timeout_s))


EXAMPLE = """\
# Examples; delete "commands: {}" above, and the # of what you use. See docs/evidence.md#a-command.
# commands:
#   queue-depth:
#     run: [/usr/local/bin/queue-depth, --queue, "{queue}"]
#     args: {queue: "[a-z]{1,20}"}  # a regular expression for all of the value, or a list
#     environment: {QUEUE_TOKEN: {file: /etc/sre-responder/queue.token}}
"""
