"""Modules of other collections that the policy lets `sre.responder.perform` run: the rung, the target, the arguments, the undo."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sre_responder.model.action_spec import ActionSpec, Rung
from sre_responder.model.actions import COLLECTION, MODULE
from sre_responder.model.expression import Expression
from sre_responder.model.names import shown
from sre_responder.model.plan import canonical

_RUNS_CODE = re.compile(
    r"(.*_)?(command|shell|raw|script|expect|powershell|exec)|psexec|(win_)?template|(include|import)_.+|meta"
)
"""Last parts of names of modules that run whatever they are given, or render templates, in any collection."""


def unfit(module: str) -> str | None:
    """Why no policy can allow a module, judged by its name; None if one can."""
    if not re.fullmatch(MODULE, module, re.ASCII):
        return f"'{shown(module, 100)}' is not the whole name of a module (namespace.collection.module)"
    if module.startswith(f"{COLLECTION}."):
        return f"{module} has its own guard; use it without perform"
    if module.startswith("ansible.legacy."):
        return f"{module} may mean a file beside a playbook; write {module.replace('.legacy.', '.builtin.')}"
    if _RUNS_CODE.fullmatch(module.rpartition(".")[2]):
        return f"{module} runs code, a template or tasks that no plan can show"
    return None


def _performable(module: str) -> str:
    if why := unfit(module):
        raise ValueError(why)
    return module


Module = Annotated[str, AfterValidator(_performable)]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


Values = Annotated[str, AfterValidator(_pattern)] | tuple[Any, ...]
"""What one argument may be: a regular expression that all of it matches, or a list of values."""


class Undo(BaseModel):
    """The task that restores the state before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: Module
    args: Expression = Field(
        description="JMESPath over {args, before} that gives its arguments: {path: args.path, state: 'absent'}."
    )


class Allowed(BaseModel):
    """One module that `sre.responder.perform` may run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rung: Rung = Field(description="0 is containment.")
    target: Expression = Field(
        description="JMESPath over the module's arguments that names what it changes on its host."
    )
    args: Mapping[str, Values] = Field(
        description="The arguments that a task may give; each a regular expression for the whole value, or a list of values."
    )
    undo: Undo | Literal["none"]
    because: str = Field("", description="Why there is no undo.")
    seconds: float = Field(
        60, gt=0, le=3600, description="A module that takes longer is ended; its outcome is unknown."
    )
    secrets: tuple[str, ...] = Field(
        (), description="Arguments that are written nowhere; nor is what the module shows then."
    )

    @model_validator(mode="after")
    def _sound(self) -> Allowed:
        if self.undo == "none" and not self.because.strip():
            raise ValueError("undo: none needs because:, the reason")
        if free := sorted(name for name in self.args if name.startswith("_")):
            raise ValueError(
                f"{', '.join(free)} would be free text or one of Ansible's own; name options of the module"
            )
        if isinstance(self.args.get("validate"), str):
            raise ValueError("validate is a command; list each one that is allowed")
        if strange := sorted(set(self.secrets) - set(self.args)):
            raise ValueError(f"secrets names {', '.join(strange)}, which args does not allow")
        return self

    def spec(self, module: str) -> ActionSpec:
        """What the guard must know of it."""
        return ActionSpec(
            module, self.rung, "module", undoable=self.undo != "none", on_host=True, options=tuple(self.args),
            limit_s=self.seconds, secrets=frozenset(self.secrets),
        )  # fmt: skip

    def refusal(self, args: Mapping[str, Any]) -> str | None:
        """Why these arguments may not be given; None if they may."""
        return misfit(args, self.args, self.secrets)


def misfit(args: Mapping[str, Any], allowed: Mapping[str, Values], secrets: Sequence[str] = ()) -> str | None:
    """Why the policy does not allow these arguments; None if it does."""
    if other := sorted(set(args) - set(allowed)):
        known = ", ".join(allowed) or "none"
        return f"the policy does not allow {', '.join(shown(name, 64) for name in other)}; allowed: {known}"
    for name, value in args.items():
        if not _fits(value, allowed[name]):
            words = "its value" if name in secrets else f"'{shown(value, 60)}'"
            return f"the policy does not allow {words} for {name}"
    return None


def _fits(value: Any, allowed: str | tuple[Any, ...]) -> bool:
    """Whether a value may be given. Of a list each entry is judged; a mapping only ever as a whole."""
    if not isinstance(allowed, str):
        return canonical(value) in map(canonical, allowed)
    if isinstance(value, list):
        return bool(value) and all(_fits(one, allowed) for one in value)
    return isinstance(value, str | int | float) and re.fullmatch(allowed, _written(value), re.ASCII) is not None


def _written(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def how_to_allow(module: str) -> str:
    """What to write into policy.yml so that `perform` may run a module."""
    return (
        f"To run it through sre.responder.perform, allow it in policy.yml: perform: {{{module}: {{rung: 2, target: name, "
        "args: {name: '[a-z]+'}, undo: none, because: WHY}}"
    )
