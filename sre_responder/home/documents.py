"""Reading YAML files so that every error names file, line, key and cure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sre_responder.errors import InputError
from sre_responder.model.names import shown
from sre_responder.system.files import opened

Model = TypeVar("Model", bound=BaseModel)
_LIMIT_BYTES = 1 << 20


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 500
"""The C library's composer calls itself, without Python's limit: what nests more deeply is left to Python's own, which has one."""


class _Telling:
    """Every complaint is a YAMLError with its line, also about a date that is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # type: ignore[misc]  # of the loader that this is mixed into
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            value = node.value if isinstance(node.value, str) else node.tag
            raise yaml.constructor.ConstructorError(
                None, None, f"'{shown(value, 60)}' is no value: {error}", node.start_mark
            ) from error


class Loader(_Telling, yaml.SafeLoader):
    """PyYAML's own, telling."""


class _UniqueKeys(Loader):
    """Refuses a key given twice: the second would silently win. A key that a merge (`<<`) brings is overridden, as YAML says."""


class _FastUniqueKeys(_Telling, _Fast):  # type: ignore[misc]  # a class that is known when it runs
    """The same over the C library's parser."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE:
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key is one word", key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_MERGE = "tag:yaml.org,2002:merge"
for _loader in (_UniqueKeys, _FastUniqueKeys):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


@contextmanager
def sound_yaml(path: Path, text: str = "") -> Iterator[None]:
    """Whatever is wrong with the YAML of a file is an InputError that names file, line and cause."""
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        raise InputError(
            f"{place}: not valid YAML: {getattr(error, 'problem', error)}.",
            cure="Write spaces for the tabs of that line." if line and "\t" in line[0] else "Correct that line.",
        ) from error
    except RecursionError as error:
        raise InputError(f"{path}: not valid YAML: nested too deeply.", cure="Write it flat.") from error


def read_text(path: Path) -> str:
    """The text of a file, at most 1 MiB, in UTF-8, without the byte order marks that editors and `cat` leave in it."""
    try:
        with opened(path) as file:
            data = file.read(_LIMIT_BYTES + 1)
        if len(data) > _LIMIT_BYTES:
            raise InputError(f"{path} is larger than 1 MiB.", cure="Split it.")
        text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line} is not UTF-8 text (byte {error.start}).", cure="Save it as UTF-8.") from error
    except OSError as error:
        cure = "Write a file in its place." if error.errno == EINVAL else "Check that it exists and may be read."
        raise InputError(f"{path} cannot be read: {error.strerror}.", cure=cure) from error
    return re.sub("^\ufeff", "", text, flags=re.MULTILINE) if "\ufeff" in text else text


def read_documents(path: Path) -> Iterator[tuple[Any, yaml.Node]]:
    """Each YAML document of a file, with its node so that errors can name lines."""
    return documents_of(read_text(path), path)


def documents_of(text: str, path: Path, *, fast: bool = False) -> Iterator[tuple[Any, yaml.Node]]:
    """The documents of a text that stands at `path`; `fast` by the C library, three times as fast, for files by the thousand."""
    with sound_yaml(path, text):
        loader = _FastUniqueKeys if fast and not _deep(text) else _UniqueKeys
        for node in yaml.compose_all(text, loader):
            yield loader("").construct_document(node), node


def pieces(text: str) -> Iterator[str]:
    """The documents of a text, apart, each behind as many empty lines as stand before it, so that its lines keep their numbers.

    A line that begins with `---` ends any document, whatever is wrong in it.
    """
    starts = [0, *(found.start() for found in re.finditer(r"^---(?=\s|$)", text, re.MULTILINE)), len(text)]
    for start, end in pairwise(starts):
        if text[start:end].strip():
            yield "\n" * text.count("\n", 0, start) + text[start:end]


def _deep(text: str) -> bool:
    """Whether it may nest very deeply: by brackets, or by columns."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > _DEEPEST or any(len(line) > _DEEPEST for line in text.splitlines())


def line_of(node: yaml.Node | None, place: tuple[int | str, ...]) -> int:
    """The line (from 1) at which the value at `place` stands, or the nearest one above it."""
    line = node.start_mark.line + 1 if node is not None else 1
    for key in place:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            return line
    return int(line)


def _known(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand where an unknown one stands."""
    at: Any = model
    for key in place[:-1]:
        field = at.model_fields.get(str(key)) if isinstance(at, type) and issubclass(at, BaseModel) else None
        at = field.annotation if field else next((a for a in get_args(at) if _is_model(a)), at)
    return sorted(at.model_fields) if _is_model(at) else ["see the schema"]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def problems(error: ValidationError, path: Path, node: yaml.Node | None, model: type[BaseModel]) -> str:
    """A validation error as one line a problem: file, line, key, what is wrong."""
    rows = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "document"
        known = (
            f"; known here: {', '.join(_known(model, problem['loc']))}" if problem["type"] == "extra_forbidden" else ""
        )
        rows.append(f"{path}:{line_of(node, problem['loc'])}: {key}: {problem['msg']}{known}")
    return "\n".join(rows)


def validated(model: type[Model], value: Any, path: Path, node: yaml.Node | None) -> Model:
    """`value` as a model, or InputError with file, line and key of every problem."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(problems(error, path, node, model), cure="Correct the lines named.") from error


def read_model(model: type[Model], path: Path) -> Model:
    """The one document of a file as a model; an empty file is an empty mapping."""
    documents = list(read_documents(path))
    if len(documents) > 1:
        raise InputError(f"{path} holds {len(documents)} documents.", cure="Keep one.")
    value, node = documents[0] if documents else ({}, None)
    return validated(model, {} if value is None else value, path, node)
