"""Connections: how platforms are reached and with which login, by name; secrets stand there by reference only.

`connections.yml` of the home holds them. A service names one by the annotation `responder/PLATFORM-connection`, which then says what the
platform's own annotations would, where the service does not say that itself. A platform is that of an action, or a source of evidence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from sre_responder.errors import InputError
from sre_responder.home.annotations import connection as annotation
from sre_responder.home.documents import line_of, read_documents, validated
from sre_responder.home.observing import KINDS, Source, login_of
from sre_responder.home.variables import LOADS_CODE
from sre_responder.model.action_spec import ActionSpec
from sre_responder.model.actions import ACTIONS
from sre_responder.model.criterion import SOURCES
from sre_responder.model.names import ENVIRONMENTS, shown
from sre_responder.system.secret import Secret

FILE = "connections.yml"
_NAMES_ONE = "-connection"
_CHOOSES_CODE = "this variable decides which code is loaded, so it may not reach a run. Use another."
_REFERENCE = "{env: NAME}, {file: PATH}, {vault: FILE, key: KEY} or {command: [PROGRAM, ...]}"


@dataclass(frozen=True)
class Connection:
    """One platform, and the options of its actions that this connection fills; a secret is a reference."""

    platform: str
    options: Mapping[str, str | int | float | bool | Secret]
    login: BaseModel | None = None
    """What it says where its platform is a source of evidence; its options are the same, flat."""


class _Written(BaseModel):
    """A connection as it is written."""

    model_config = ConfigDict(extra="allow", frozen=True)
    platform: str

    @property
    def options(self) -> Mapping[str, Any]:
        return self.__pydantic_extra__ or {}


class _File(RootModel[dict[str, _Written]]):
    """Every connection by its name."""


class Connections:
    """All of one home; the options of each are checked, no secret is read before it is used."""

    def __init__(self, named: Mapping[str, Connection], file: Path) -> None:
        self.named, self.file = named, file

    def __iter__(self) -> Iterator[str]:
        return iter(self.named)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Environment variables in which secrets are kept: a run needs them."""
        return frozenset(
            value.env
            for one in self.named.values()
            for value in one.options.values()
            if isinstance(value, Secret) and value.env is not None
        )

    def expanded(self, annotations: Mapping[str, str]) -> Mapping[str, str]:
        """A service's annotations with those that its connections stand for. InputError for a connection that is not there."""
        if not any(key.endswith(_NAMES_ONE) for key in annotations):  # most do not, and there may be thousands
            return annotations
        found = dict(annotations)
        for start in ("", *(f"{environment}." for environment in ENVIRONMENTS)):
            for platform, keys in _PLATFORMS.items():
                if named := annotations.get(f"{start}{annotation(platform)}"):
                    options = self._of(named, platform).options
                    for option, key in keys.items():
                        if option in options:
                            found.setdefault(f"{start}{key}", str(options[option]))
            for source in SOURCES:
                if source not in _PLATFORMS and (named := annotations.get(f"{start}{annotation(source)}")):
                    self._of(named, source)
        return found

    def of_source(self, source: str, named: str | None, way: Mapping[str, str]) -> BaseModel | None:
        """The connection to a source of evidence: the one that is named, else that of the annotations; None if there is none."""
        name = named or way.get(annotation(source))
        return self._of(name, source).login if name else None

    def of_calls(self, source: Source) -> BaseModel:
        """The connection by which a source of calls is reached. InputError if there is none, or one of another platform."""
        found = self.named.get(source.connection)
        if found is None or found.login is None or found.platform != source.platform:
            raise InputError(
                f"graph.sources in policy.yml: {self.file} has no connection '{shown(source.connection)}' of platform {source.platform}.",
                cure=f"Add it, or name another one for {source.kind}.",
            )
        return found.login

    def login(self, spec: ActionSpec, way: Mapping[str, str]) -> dict[str, Any]:
        """The options for an action that no annotation can say, such as user and password, revealed. InputError where a secret cannot be read."""
        named = way.get(annotation(spec.platform))
        if not named:
            return {}
        one = self._of(named, spec.platform)
        return {
            option: self._revealed(named, option, value)
            for option, value in one.options.items()
            if option in spec.options and option not in spec.annotations
        }

    def unreadable(self, name: str) -> Iterator[str]:
        """What is wrong with each secret of a connection."""
        for option, value in self.named[name].options.items():
            try:
                self._revealed(name, option, value)
            except InputError as error:
                yield error.message

    def _revealed(self, name: str, option: str, value: Any) -> Any:
        if not isinstance(value, Secret):
            return value
        try:
            return value.reveal()
        except (ValueError, OSError) as error:
            raise InputError(
                f"{option} of connection '{name}' cannot be read: {error}.", cure=f"Correct it in {self.file}."
            ) from error

    def _of(self, name: str, platform: str) -> Connection:
        if name not in self.named:
            near = difflib.get_close_matches(name, self.named, n=2)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Add it to {self.file}."
            raise InputError(f"connection '{shown(name)}' is not in {self.file}.", cure=hint)
        if self.named[name].platform != platform:
            raise InputError(
                f"connection '{name}' is one of {self.named[name].platform}, and {annotation(platform)} names it.",
                cure=f"Name one whose platform is {platform}.",
            )
        return self.named[name]


def _by_platform() -> dict[str, dict[str, str]]:
    """Each platform's options that an annotation may fill."""
    found: dict[str, dict[str, str]] = {}
    for spec in ACTIONS.values():
        found.setdefault(spec.platform, {}).update(spec.annotations)
    return found


_PLATFORMS = _by_platform()


def load(file: Path) -> Connections:
    """The connections of a file; none where it does not exist. InputError with file and line for what no action can use."""
    if not file.exists():
        return Connections({}, file)
    documents = list(read_documents(file))
    if len(documents) > 1:
        raise InputError(f"{file} holds {len(documents)} documents.", cure="Keep one.")
    value, node = documents[0] if documents else ({}, None)
    named = validated(_File, value or {}, file, node).root
    problems = [
        f"{file}:{line_of(node, place)}: {'.'.join(place)}: {why}"
        for name, one in named.items()
        for place, why in _problems(name, one)
    ]
    if problems:
        raise InputError("\n".join(problems), cure="Correct the lines named.")
    return Connections({name: _connection(one) for name, one in named.items()}, file)


def _problems(name: str, one: _Written) -> Iterator[tuple[tuple[str, ...], str]]:
    if one.platform in _PLATFORMS:
        yield from _problems_of_options(name, one)
    elif kind := _login(one.platform):
        yield from _problems_of_login(name, one, kind)
    else:
        known = sorted({*_PLATFORMS, *(one for one in (*SOURCES, *KINDS) if _login(one))})
        yield (name, "platform"), f"no action or source is of platform '{shown(one.platform)}'. Use {', '.join(known)}."


def _problems_of_options(name: str, one: _Written) -> Iterator[tuple[tuple[str, ...], str]]:
    specs = [spec for spec in ACTIONS.values() if spec.platform == one.platform]
    known = sorted({option for spec in specs for option in spec.options})
    secret = {option for spec in specs for option in spec.secrets}
    for option, value in one.options.items():
        if option not in known:
            yield (name, option), f"no action of {one.platform} has this option. Use {', '.join(known)}."
        elif isinstance(value, Mapping):
            if str(value.get("env", "")).startswith(LOADS_CODE):
                yield (name, option), _CHOOSES_CODE
            elif why := _unsound(value):
                yield (name, option), f"{why}. Write {_REFERENCE}."
            elif option in _PLATFORMS[one.platform]:
                yield (name, option), "it says which target it is, so it cannot be a secret. Write it out."
        elif option in secret:
            yield (name, option), f"a secret does not stand in this file. Write {_REFERENCE}."
        elif not isinstance(value, str | int | float | bool):
            yield (name, option), "it is no single value."


def _login(platform: str) -> type[BaseModel] | None:
    """What a connection to a source of evidence or of calls may say; None for what is none, or needs none."""
    kind: type[BaseModel] | None = SOURCES[platform].login if platform in SOURCES else login_of(platform)
    return kind


def _problems_of_login(name: str, one: _Written, kind: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], str]]:
    try:
        login = kind.model_validate(dict(one.options))
    except ValidationError as error:
        for problem in error.errors():
            option = str(problem["loc"][0]) if problem["loc"] else "platform"
            if problem["type"] == "extra_forbidden":
                yield (name, option), f"{one.platform} has no such option. Use {', '.join(kind.model_fields)}."
            elif problem["type"] == "model_type" and isinstance(one.options.get(option), str):
                yield (name, option), f"a secret does not stand in this file. Write {_REFERENCE}."
            else:
                yield (name, option), f"{problem['msg'].removeprefix('Value error, ')}."
        return
    for option, value in _flat(login).items():
        if isinstance(value, Secret) and str(value.env or "").startswith(LOADS_CODE):
            yield (name, option.partition(".")[0]), _CHOOSES_CODE


def _flat(login: BaseModel) -> dict[str, Any]:
    """Its options, with those of a mapping each by itself."""
    found: dict[str, Any] = {}
    for option in [name for name in type(login).model_fields if name in login.model_fields_set]:
        value = getattr(login, option)
        found |= (
            {f"{option}.{key}": one for key, one in value.items()} if isinstance(value, Mapping) else {option: value}
        )
    return found


def _unsound(value: Mapping[str, Any]) -> str | None:
    try:
        Secret.model_validate(dict(value))
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return None


def _connection(one: _Written) -> Connection:
    if one.platform not in _PLATFORMS and (kind := _login(one.platform)):
        login = kind.model_validate(dict(one.options))
        return Connection(one.platform, _flat(login), login)
    return Connection(one.platform, _options(one))


def _options(one: _Written) -> dict[str, Any]:
    return {
        option: Secret.model_validate(dict(value)) if isinstance(value, Mapping) else value
        for option, value in one.options.items()
    }
