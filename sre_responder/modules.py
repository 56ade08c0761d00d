"""Whether Ansible would find a module here, by the files of ansible-core and of the collections that are installed."""

from __future__ import annotations

import difflib
import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from sre_responder import home
from sre_responder.errors import InputError
from sre_responder.home.documents import read_text, sound_yaml
from sre_responder.model.actions import ACTIONS, COLLECTION, PERFORM, READ_ONLY
from sre_responder.model.names import shown

_BUILTIN = ("ansible.builtin", "ansible.legacy")
_SPECIAL = frozenset(
    {"include_tasks", "import_tasks", "include_role", "import_role", "import_playbook", "include_vars", "meta"}
)
"""Words of the language that have no file of their own."""


def problem(module: str, before: tuple[str, ...] = ()) -> tuple[str, str] | None:
    """Why Ansible would find no such module, and the cure; None if it would, or if this cannot be told here.

    `before` are the names that led to this one.
    """
    collection, _, name = module.rpartition(".")
    if not module or "{{" in module or module in before:
        return None
    if not collection or collection in _BUILTIN:
        there = _builtin()
        if name not in there and name in (routes := _core_routes()):
            return problem(routes[name], (*before, module))
        return _missing(name, there, "ansible.builtin") if there else None
    if collection == COLLECTION:
        return _missing(name, frozenset({*ACTIONS, *READ_ONLY, PERFORM}), COLLECTION)
    if module.count(".") < 2:
        return f"{shown(module)} is not a whole name", "Write namespace.collection.module."
    collection = ".".join(collection.split(".")[:2])
    places = [path for path in (root / Path(*collection.split(".")) for root in _roots()) if path.is_dir()]
    if not places:
        return (
            f"the collection {shown(collection)} is not installed here",
            f"Install it: ansible-galaxy collection install {shown(collection)} -p {home.find().collections}",
        )
    routes = {old: to for place in places for old, to in _routed(place / "meta" / "runtime.yml").items()}
    if routes.get(name):
        return problem(routes[name], (*before, module))
    found = [_files(place / "plugins" / "modules", place / "plugins" / "action") for place in places]
    return _missing(module.removeprefix(f"{collection}."), frozenset().union(*found), collection)


def _missing(name: str, there: frozenset[str], collection: str) -> tuple[str, str] | None:
    if name in there:
        return None
    near = " or ".join(f"{collection}.{one}" for one in difflib.get_close_matches(name, sorted(there), n=2))
    return f"{shown(collection)} has no module {shown(name)}", f"Did you mean {near}?" if near else "Correct its name."


@cache
def _core() -> list[Path]:
    """The folder of ansible-core, without importing it."""
    spec = importlib.util.find_spec("ansible")
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


@cache
def _builtin() -> frozenset[str]:
    """Empty where ansible-core is not installed beside this library: then nothing can be told."""
    found = {one for place in _core() for one in _files(place / "modules", place / "plugins" / "action")}
    return frozenset({*found, *_SPECIAL}) if found else frozenset()


@cache
def _files(*folders: Path) -> frozenset[str]:
    return frozenset(
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for folder in folders
        for path in folder.rglob("*.*")
        if path.suffix in (".py", ".ps1", ".yml") and path.stem != "__init__"
    )


def _core_routes() -> Mapping[str, str]:
    """Names of ansible-core that moved, and where to; empty for one that was removed and has none."""
    return {
        name: to for place in _core() for name, to in _routed(place / "config" / "ansible_builtin_runtime.yml").items()
    }


@cache
def _routed(file: Path) -> Mapping[str, str]:
    """The names that a collection hands on to another."""
    try:
        with sound_yaml(file):
            routing = yaml.load(read_text(file), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["plugin_routing"]
        kinds = [routing.get(kind) or {} for kind in ("action", "modules")]
        return {str(name): str(row.get("redirect") or "") for kind in kinds for name, row in kind.items()}
    except (InputError, KeyError, TypeError, AttributeError):
        return {}


def _roots() -> list[Path]:
    """Where Ansible looks for collections: as its settings say, and beside its own package."""
    named = os.environ.get("ANSIBLE_COLLECTIONS_PATH") or "~/.ansible/collections:/usr/share/ansible/collections"
    places = [Path(one).expanduser() for one in named.split(":") if one]
    return [
        *(one / "ansible_collections" for one in (home.find().collections, *places)),
        *(Path(one) / "ansible_collections" for one in sys.path if one),
    ]
