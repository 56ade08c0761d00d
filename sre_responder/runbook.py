"""Runbooks: plain playbooks whose `vars.runbook` says what they are for; their registry and digests."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jmespath
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sre_responder import names
from sre_responder.actions import ACTIONS, COLLECTION, short_name
from sre_responder.documents import Loader, read_model, read_text, sound_yaml, validated
from sre_responder.errors import InputError
from sre_responder.evidence.criterion import Criterion
from sre_responder.expression import Expression
from sre_responder.plan import canonical

SHIPPED = Path(__file__).parent / "runbooks"
LOCK = "runbooks.lock"
PLAYBOOK = "runbook.yml"
SECTIONS = ("pre_tasks", "tasks", "post_tasks", "handlers")
BLOCKS = ("block", "rescue", "always")
KEYWORDS = frozenset(
    [
        "action",
        "any_errors_fatal",
        "args",
        "async",
        "become",
        "become_exe",
        "become_flags",
        "become_method",
        "become_user",
        "changed_when",
        "check_mode",
        "collections",
        "connection",
        "debugger",
        "delay",
        "delegate_facts",
        "delegate_to",
        "diff",
        "environment",
        "failed_when",
        "ignore_errors",
        "ignore_unreachable",
        "listen",
        "local_action",
        "loop",
        "loop_control",
        "module_defaults",
        "name",
        "no_log",
        "notify",
        "poll",
        "port",
        "register",
        "remote_user",
        "retries",
        "run_once",
        "tags",
        "throttle",
        "timeout",
        "until",
        "vars",
        "when",
    ]
)


class Metadata(BaseModel):
    """What stands in `vars.runbook` of a runbook's play."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    failure_class: str = Field(pattern=r"^[a-z][a-z0-9-]{1,63}$")
    summary: str = ""
    alerts: Expression = Field("`false`", description="JMESPath over one alert: true where this runbook serves it.")
    success: Criterion
    contain_first: bool = Field(False, description="Containment must have happened before any remediation.")
    contacts: tuple[str, ...] = ()
    rollback: str = ""

    @field_validator("id")
    @classmethod
    def _valid_id(cls, value: str) -> str:
        try:
            return names.runbook(value)
        except InputError as error:
            raise ValueError(str(error)) from error

    def serves(self, alert: Mapping[str, Any]) -> bool:
        """Whether this runbook is for that alert. An expression that breaks on it, as on a label it lacks, serves it not."""
        try:
            return jmespath.search(self.alerts, dict(alert)) is True
        except jmespath.exceptions.JMESPathError:
            return False


@dataclass(frozen=True)
class Task:
    """One task as it is written: where, which module, with what keywords."""

    name: str
    module: str
    arguments: Any
    keywords: Mapping[str, Any]
    line: int
    section: str
    within: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def action(self) -> str | None:
        """The guarded action that this task declares, if it does."""
        name = short_name(self.module)
        return name if self.module == f"{COLLECTION}.{name}" and name in ACTIONS else None

    @property
    def digest(self) -> str:
        return task_digest(self.raw)

    @property
    def does(self) -> str:
        """The digest of what it does to what, whatever it is called and for whatever reason."""
        arguments = self.arguments
        if isinstance(arguments, Mapping):
            arguments = {key: value for key, value in arguments.items() if key not in ("applies", "because")}
        return task_digest({**self.raw, "name": "", self.module: arguments or None})


def task_digest(raw: Mapping[str, Any]) -> str:
    """The digest of one task as written, by which a running task proves to be the declared one."""
    return hashlib.sha256(canonical(_plain(raw)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        # Ansible itself writes `collections` into every task of a playbook that was called by its collection's name.
        return {str(key): _plain(item) for key, item in value.items() if key != "collections"}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value if isinstance(value, bool | int | float | None) else str(value)


class _PlaybookLoader(Loader):
    """Takes Ansible's own tags as plain text and remembers the line of each mapping."""


def _tagged(loader: _PlaybookLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None


_PlaybookLoader.add_multi_constructor("!", _tagged)


def plays(path: Path) -> list[tuple[dict[str, Any], yaml.Node]]:
    """The plays of a playbook with their nodes."""
    text = read_text(path)
    with sound_yaml(path):
        value, node = _parsed(text)
    if node is None or not isinstance(value, list) or not all(isinstance(play, dict) for play in value) or not value:
        raise InputError(f"{path} is not a playbook.", cure="Write a list of plays.")
    return list(zip(value, node.value, strict=True))


@lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[Any, yaml.Node | None]:
    """By its text, not its file: a step asks several times for one playbook, and what changed meanwhile is parsed anew."""
    loader = _PlaybookLoader(text)
    node = loader.get_single_node()
    return loader.construct_document(node) if node else None, node


def tasks(play: Mapping[str, Any], node: yaml.Node) -> Iterator[Task]:
    """Every task of a play, blocks opened, in the order in which they are written."""
    for section in SECTIONS:
        yield from _tasks(play.get(section) or [], _child(node, section), section, ())


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _tasks(written: Any, node: yaml.Node | None, section: str, within: tuple[str, ...]) -> Iterator[Task]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else []
    for raw, place in zip(written if isinstance(written, list) else [], nodes, strict=False):
        if not isinstance(raw, dict):
            continue
        if any(block in raw for block in BLOCKS):
            marks = tuple(key for key in raw if key not in (*BLOCKS, "name"))
            rescued = ("rescue",) if "rescue" in raw else ()
            for block in BLOCKS:
                yield from _tasks(raw.get(block), _child(place, block), section, (*within, *marks, *rescued, block))
            continue
        module = next((str(key) for key in raw if key not in KEYWORDS and not str(key).startswith("with_")), "")
        arguments = raw.get(module)
        if not module and (chosen := raw.get("action") or raw.get("local_action")):
            module = str(chosen.get("module", "") if isinstance(chosen, dict) else chosen).split(" ")[0]
            arguments = {k: v for k, v in chosen.items() if k != "module"} if isinstance(chosen, dict) else chosen
        yield Task(
            str(raw.get("name", module)),
            module,
            arguments,
            {k: v for k, v in raw.items() if k != module},
            place.start_mark.line + 1,
            section,
            within,
            raw,
        )


@dataclass(frozen=True)
class Runbook:
    """A runbook in its folder, and the digest under which it was registered."""

    folder: Path
    registered_digest: str | None
    shipped: bool

    @property
    def playbook(self) -> Path:
        return self.folder / PLAYBOOK

    @cached_property
    def digest(self) -> str:
        return digest(self.folder)

    @cached_property
    def metadata(self) -> Metadata:
        for play, node in plays(self.playbook):
            variables = play.get("vars") or {}
            if not isinstance(variables, dict):
                line = node.start_mark.line + 1
                raise InputError(f"{self.playbook}:{line}: vars is no mapping.", cure="Write vars: {runbook: {...}}.")
            written = variables.get("runbook")
            if written is not None:
                return validated(Metadata, written, self.playbook, _child(_child(node, "vars"), "runbook"))
        raise InputError(f"{self.playbook}: no play has vars.runbook.", cure="See docs/write-a-runbook.md.")

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for play, node in plays(self.playbook) for task in tasks(play, node))

    @property
    def steps(self) -> tuple[Task, ...]:
        """The guarded tasks, least invasive first as written."""
        return tuple(task for task in self.tasks if task.action)

    @property
    def registered(self) -> bool:
        return self.registered_digest == self.digest


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of every file of a runbook's folder, bytecode included: Python would run it.

    What is no file is refused: a link points outside, a pipe never ends.
    """
    total = hashlib.sha256()
    for path in sorted(_files(folder)):
        name = os.fsencode(path.relative_to(folder).as_posix())
        total.update(name + f"\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InputError(
                    f"{names.shown(path)} is {'a link' if path.is_symlink() else 'neither file nor folder'}; "
                    "a runbook's folder holds files only.",
                    cure="Copy the file in.",
                )
        yield from (Path(root, name) for name in files)


class Registry:
    """The runbooks shipped and the home's, by id."""

    def __init__(self, runbooks: Mapping[str, Runbook], home: Path) -> None:
        self._runbooks = runbooks
        self.home = home

    def __iter__(self) -> Iterator[Runbook]:
        return iter(self._runbooks.values())

    def named(self, name: str) -> Runbook:
        """The runbook of that id."""
        names.runbook(name)
        if name not in self._runbooks:
            raise InputError(f"runbook '{name}' is not known.", cure=f"Known: {', '.join(self._runbooks) or 'none'}.")
        return self._runbooks[name]

    def for_alert(self, alert: Mapping[str, Any]) -> Runbook:
        """The one runbook that serves an alert; none or several is an error, never a guess."""
        serving = [r for r in self if r.metadata.serves(alert)]
        if len(serving) != 1:
            found = ", ".join(r.metadata.id for r in serving) or "none"
            raise InputError(
                f"{len(serving)} runbooks serve this alert ({found}).", cure="Name one: `responder run RUNBOOK ...`."
            )
        return serving[0]


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    runbooks: dict[str, str] = Field(default_factory=dict)


def locked(home: Path) -> dict[str, str]:
    """Id to digest of every runbook that this home has registered."""
    return read_model(_Lock, home / LOCK).runbooks if (home / LOCK).exists() else {}


def registry(home: Path) -> Registry:
    """All runbooks that this home knows; one of the home's wins over a shipped one of the same id."""
    digests = locked(home)
    found: dict[str, Runbook] = {}
    for folder, shipped in ((SHIPPED, True), (home / "runbooks", False)):
        for playbook in sorted(folder.glob(f"*/{PLAYBOOK}")):
            name = Runbook(playbook.parent, None, shipped).metadata.id
            found[name] = Runbook(playbook.parent, digests.get(name), shipped)
    return Registry(found, home)


def register(home: Path, folders: Iterable[Path]) -> Path:
    """Write the digests of runbooks, as they are now, into the home's lock file; gives its path."""
    path = home / LOCK
    digests = dict(locked(home))
    for folder in folders:
        entry = Runbook(folder, None, False)
        digests[entry.metadata.id] = entry.digest
    draft = path.with_suffix(".draft")
    draft.write_text(
        "# The runbooks that may run, by the digest of their folder. `responder runbooks register` writes this.\n"
        + yaml.safe_dump({"runbooks": dict(sorted(digests.items()))}),
        encoding="utf-8",
    )
    draft.replace(path)
    return path
