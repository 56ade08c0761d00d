"""What can be added, by name: the names are known at once, each object is loaded when it is first used."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def modules(package: str, folder: Iterable[str]) -> dict[str, ModuleType]:
    """Every module of a package's folder, loaded, by its name: what is found so needs no list."""
    return {found.name: import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(folder)}


class Registry(Mapping[str, Any]):
    """Name to object, from a map of names to MODULE:OBJECT."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._places  # without loading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def found(package: str, attribute: str) -> Registry:
    """That attribute of every module of a package, by the name of the module."""
    spec = find_spec(package)
    folder = spec.submodule_search_locations if spec else None
    return Registry({one.name: f"{package}.{one.name}:{attribute}" for one in pkgutil.iter_modules(folder or [])})
