"""What an effect's file says of its action: from it `scripts/generate` writes the allowlist, the module's page and the tables in docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from sre_responder.model.action_spec import ActionSpec, Rung

UNDO_WRITTEN = "The undo playbook is written before anything changes."
NO_UNDO = "There is no earlier state to restore."


class Options(BaseModel):
    """The options of one action, in the order of its page; each field is made by `option`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    one_of: ClassVar[tuple[str, ...]] = ()
    """Options of which exactly one is given."""


def option(
    *description: str,
    default: Any = ...,
    annotation: str = "",
    locates: bool = False,
    reaches: bool = False,
    secret: bool = False,
) -> Any:
    """One option, described in sentences.

    `annotation` is that of the catalogue which fills it where the task leaves it out. `locates` says that this annotation tells which target
    it is, and not only how it is changed, `reaches` that its platform cannot be asked without it, as a login. A `secret` reaches it too: it
    enters a plan's digest as a keyed hash, and never the record.
    """
    said: Any = {
        "description": description,
        "annotation": annotation,
        "locates": locates,
        "reaches": reaches or secret,
        "secret": secret,
    }
    return Field(default, json_schema_extra=said)


@dataclass(frozen=True)
class Described:
    """What was said of one option."""

    description: tuple[str, ...]
    annotation: str
    locates: bool
    reaches: bool
    secret: bool
    required: bool
    default: Any
    type: Any
    """The type without None."""

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def described(options: type[Options]) -> Mapping[str, Described]:
    """All options by name."""
    return {name: _described(field) for name, field in options.model_fields.items()}


def _described(field: FieldInfo) -> Described:
    said: Any = field.json_schema_extra
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    optional = type(None) in get_args(field.annotation)
    return Described(
        **said, required=field.is_required(), default=None if field.is_required() else field.default,
        type=kinds[0] if optional else field.annotation,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action by name, and the words of its page. Its rung is None where the policy says it.

    `undo` says how it is undone, or why it cannot be. `minutes` is the option that says for how long it lasts (`ActionSpec.minutes`).
    `compares` names annotations that lead to what else it may change on its host (`ActionSpec.compares`).
    `examples` are tasks: name, and the options beside those that every guarded module takes.
    """

    name: str
    rung: Rung | None
    platform: str
    options: type[Options]
    summary: str
    description: tuple[str, ...]
    examples: tuple[tuple[str, Mapping[str, Any]], ...]
    undoable: bool = True
    undo: str = UNDO_WRITTEN
    minutes: str = ""
    diff: str = ""
    on_host: bool = False
    compares: tuple[str, ...] = ()

    def spec(self, effect: str) -> ActionSpec:
        """What the guard must know of it; `effect` is where it stands, MODULE:OBJECT."""
        options = described(self.options)
        assert self.rung is not None, "the policy says it"
        return ActionSpec(
            self.name,
            self.rung,
            self.platform,
            undoable=self.undoable,
            on_host=self.on_host,
            compares=self.compares,
            effect=effect,
            annotations={name: option.annotation for name, option in options.items() if option.annotation},
            locates=tuple(name for name, option in options.items() if option.locates),
            options=tuple(options),
            reaches=tuple(name for name, option in options.items() if option.reaches),
            needs=tuple(name for name, option in options.items() if option.required),
            minutes=self.minutes,
            secrets=frozenset(name for name, option in options.items() if option.secret),
        )
