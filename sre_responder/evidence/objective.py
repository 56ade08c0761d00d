"""Service level objectives that a team keeps as files, OpenSLO or Sloth, and what each of them asks in PromQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from sre_responder.errors import InputError
from sre_responder.home.documents import read_documents
from sre_responder.model.look import NotMeasured
from sre_responder.model.names import shown

WINDOW = "{{.window}}"
"""Where a query has the window over which it is taken."""
_TEMPLATE = re.compile(r"\{\{\s*\.window\s*\}\}")


class Lenient(BaseModel):
    """A part of a format of others: what is not needed here may stand in it."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, coerce_numbers_to_str=True)


class Unusable(Exception):
    """Why nothing can be measured by an objective."""


@dataclass(frozen=True)
class Objective:
    """What is good: a share of bad events within the budget, or a number that `expect` holds of."""

    query: str
    budget: float | None = None
    expect: str | None = None
    connection: str | None = None


class Entry(NamedTuple):
    """One objective of a file; in place of what it asks, why that cannot be measured."""

    file: Path
    service: str
    name: str
    asks: Objective | str

    @property
    def names(self) -> set[str]:
        """By which a criterion may name it."""
        return {self.name, f"{self.service}-{self.name}"}


Reader = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Iterator[tuple[str, str, Callable[[], Objective]]]]
"""What a document defines: service, name, and what it asks; it is given every document, to which it may refer."""


def objective(folder: Path, name: str, readers: Sequence[Reader]) -> Objective:
    """What the objective of that name asks. NotMeasured if there is none, or several, or it cannot be measured."""
    entries, broken = _entries(folder, readers)
    found = [entry for entry in entries if name in entry.names]
    if not found:
        known = ", ".join(entry.name for entry in entries) or "none"
        told = "".join(f"; {why}" for why in broken)
        raise NotMeasured(f"no objective '{shown(name, 100)}' in {folder} (known: {known}){told}")
    if len(found) > 1:
        places = " and ".join(f"{entry.service}-{entry.name} in {entry.file.name}" for entry in found)
        raise NotMeasured(f"several objectives are called '{name}': {places}; write SERVICE-NAME, and each once")
    if isinstance(found[0].asks, str):
        raise NotMeasured(f"objective '{name}' of {found[0].file} cannot be measured: {found[0].asks}")
    return found[0].asks


def _entries(folder: Path, readers: Sequence[Reader]) -> tuple[list[Entry], list[str]]:
    """All objectives, and what is wrong with files that hold none that can be read."""
    documents: list[tuple[Path, Mapping[str, Any]]] = []
    broken: list[str] = []
    for file in sorted((*folder.rglob("*.yml"), *folder.rglob("*.yaml"))):
        try:
            documents += [(file, value) for value, _ in read_documents(file) if isinstance(value, Mapping)]
        except InputError as error:
            broken.append(error.message)
    all_ = [document for _, document in documents]
    entries: list[Entry] = []
    for file, document in documents:
        try:
            for reader in readers:
                entries += [Entry(file, service, name, _asked(asks)) for service, name, asks in reader(document, all_)]
        except ValidationError as error:
            broken.append(f"{file}: {told(error)}")
    return entries, broken


def _asked(asks: Callable[[], Objective]) -> Objective | str:
    try:
        return asks()
    except Unusable as error:
        return str(error)
    except ValidationError as error:
        return told(error)


def told(error: ValidationError) -> str:
    """The first thing that is wrong with a document, and where."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}"


def bad_share(total: str, *, bad: str | None = None, good: str | None = None) -> str:
    """The share of bad events. Until the first bad one, or while there is no good one, its series is absent: that counts as 0."""
    part, total = f"({plain(bad or good or '')})", f"({plain(total)})"
    share = f"({part} or 0 * {total}) / {total}"
    return share if bad else f"1 - {share}"


def plain(query: str) -> str:
    """A query whose one template is the window, each spelled alike. Unusable for another, since only its own tool can fill it."""
    found = _TEMPLATE.sub(WINDOW, query.strip())
    if not found:
        raise Unusable("a query is empty")
    if "{{" in found.replace(WINDOW, ""):
        raise Unusable(f"its query has a template other than {WINDOW}: write PromQL")
    return found


def budget(target: float) -> float:
    """The share that may be bad."""
    if not 0 < target < 1:
        raise Unusable(f"its target of {target:.6g} leaves no error budget: set one between 0 and 1 (0 and 100 %)")
    return 1 - target
