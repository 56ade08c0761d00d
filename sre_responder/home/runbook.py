"""Runbooks: plain playbooks whose `vars.runbook` says what they are for; their registry and digests."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jmespath
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sre_responder.errors import InputError
from sre_responder.home.documents import Loader, read_model, read_text, sound_yaml, validated
from sre_responder.model import names
from sre_responder.model.actions import ACTIONS, COLLECTION, MODULE, PERFORM, short_name
from sre_responder.model.criterion import Criterion
from sre_responder.model.expression import Expression, conditions
from sre_responder.model.plan import canonical

SHIPPED = Path(__file__).parents[1] / "runbooks"
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
    around: tuple[tuple[str, Any], ...]
    """The keywords of the blocks in which it is, outermost first, and the part of each block that holds it."""
    raw: Mapping[str, Any]

    @property
    def within(self) -> tuple[str, ...]:
        return tuple(keyword for keyword, _ in self.around)

    @property
    def action(self) -> str | None:
        """The guarded action that this task declares, if it does."""
        name = short_name(self.module)
        if self.module == f"{COLLECTION}.{PERFORM}":
            return performed(self.arguments)
        return name if self.module == f"{COLLECTION}.{name}" and name in ACTIONS else None

    @property
    def digest(self) -> str:
        return task_digest(self.raw)

    @property
    def does(self) -> str:
        """The digest of what it does to what, whatever it is called and for whatever reason."""
        arguments = self.arguments
        if isinstance(arguments, Mapping):
            arguments = {
                key: value for key, value in arguments.items() if key not in ("applies", "because", "if_worse")
            }
        return task_digest({**self.raw, "name": "", self.module: arguments or None})


def performed(arguments: Any) -> str:
    """The module that a task of `perform` names; `perform` itself, which no policy allows, where that is no whole name of another's."""
    module = arguments.get("module") if isinstance(arguments, Mapping) else None
    whole = isinstance(module, str) and re.fullmatch(MODULE, module, re.ASCII) is not None
    return str(module) if whole and not str(module).startswith(f"{COLLECTION}.") else PERFORM


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
        yield from _tasks(play.get(section) or [], child(node, section), section, ())


def child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _tasks(written: Any, node: yaml.Node | None, section: str, around: tuple[tuple[str, Any], ...]) -> Iterator[Task]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else []
    for raw, place in zip(written if isinstance(written, list) else [], nodes, strict=False):
        if not isinstance(raw, dict):
            continue
        if any(block in raw for block in BLOCKS):
            marks = tuple((key, value) for key, value in raw.items() if key not in (*BLOCKS, "name"))
            rescued = (("rescue", None),) if "rescue" in raw else ()
            for block in BLOCKS:
                inside = (*around, *marks, *rescued, (block, None))
                yield from _tasks(raw.get(block), child(place, block), section, inside)
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
            around,
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
                return validated(Metadata, written, self.playbook, child(child(node, "vars"), "runbook"))
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


def contents(folder: Path) -> Path:
    """Where the files of a runbook's folder are. InputError where that cannot be seen, or a link leads elsewhere."""
    try:
        return _version(Path(os.path.realpath(folder)))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.", cure=_readable(folder)) from error


def _version(real: Path) -> Path:
    """The folder itself; behind the links of a mounted ConfigMap or Secret the version that is in force.

    Kubernetes writes each version into a folder of its own, `..data` is a link to the one in force, and each name a link into
    `..data`. What was read there stays one version when `..data` is swapped. Any other link is refused.
    """
    data = real / "..data"
    if not data.is_symlink():
        return real
    version = Path(os.path.realpath(data))
    if version.parent != real or not version.name.startswith("..") or not version.is_dir():
        raise InputError(f"{data} does not lead to a version of this mount.", cure="Mount the ConfigMap again.")
    for entry in real.iterdir():
        if not entry.name.startswith("..") and not (
            entry.is_symlink() and os.readlink(entry) == f"..data/{entry.name}"
        ):
            raise InputError(
                f"{names.shown(entry)} is not part of what is mounted at {real}; its other files are.",
                cure="Put it into the ConfigMap, or remove it.",
            )
    return version


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of every file of a runbook's folder, bytecode included: Python would run it.

    Refuse anything but regular files: a link may point outside, a pipe may never end.
    """
    total, real = hashlib.sha256(), contents(folder)
    try:
        for path in sorted(_files(real)):
            name = os.fsencode(path.relative_to(real).as_posix())
            total.update(name + f"\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    except OSError as error:
        raise InputError(
            f"{names.shown(error.filename)} cannot be read: {error.strerror}.", cure=_readable(folder)
        ) from error
    return total.hexdigest()


def copy(folder: Path, into: Path) -> None:
    """Copy a runbook's folder; the copy can be written and removed, also where a mount is for reading only."""
    shutil.copytree(folder, into)
    for path in (into, *into.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


def _readable(folder: Path) -> str:
    return f"Let the user of Responder read it: chmod -R u+rX {shlex.quote(str(folder))}"


def _files(folder: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=unreadable):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InputError(
                    f"{names.shown(path)} is {'a link' if path.is_symlink() else 'neither file nor folder'}; "
                    "a runbook's folder holds files only.",
                    cure="Copy the file in.",
                )
        yield from (Path(root, name) for name in files)


@dataclass(frozen=True)
class Broken:
    """A folder of the home that holds no usable runbook, why, and the ids that it was meant to have."""

    folder: Path
    reason: str
    cure: str
    ids: frozenset[str]


class Registry:
    """The runbooks shipped and the home's, by id; what is broken is no runbook, and stops no other."""

    def __init__(self, runbooks: Mapping[str, Runbook], home: Path, broken: Iterable[Broken] = ()) -> None:
        self.broken = tuple(broken)
        self._meant = {id: one for one in self.broken for id in one.ids}
        self._runbooks = runbooks
        self.home = home

    def __iter__(self) -> Iterator[Runbook]:
        return iter(self._runbooks.values())

    def named(self, name: str) -> Runbook:
        """The runbook of that id."""
        if name not in self._runbooks and (broken := self._meant.get(name)):
            raise InputError(f"runbook '{name}' cannot be used: {broken.reason}", cure=broken.cure)
        names.runbook(name)
        if name not in self._runbooks:
            raise InputError(f"runbook '{name}' is not known.", cure=f"Known: {', '.join(self._runbooks) or 'none'}.")
        return self._runbooks[name]

    def unknown(self, digests: Iterable[str]) -> list[str]:
        """Those that are the digest of no registered runbook: what was granted to them is granted to nothing."""
        registered = {book.digest for book in self if book.registered}
        return [digest for digest in digests if digest not in registered]

    def for_alert(self, alert: Mapping[str, Any]) -> Runbook:
        """The runbook that serves an alert by the most conditions; none, or several alike, is an error, never a guess."""
        serving = [book for book in self if book.metadata.serves(alert)]
        most = max((conditions(book.metadata.alerts) for book in serving), default=0)
        chosen = [book for book in serving if conditions(book.metadata.alerts) == most]
        if len(chosen) != 1:
            found = ", ".join(book.metadata.id for book in chosen) or "none"
            hidden = f" {len(self.broken)} folders hold no usable runbook: responder doctor." if self.broken else ""
            raise NotOneRunbook(
                f"{len(chosen)} runbooks serve this alert ({found}).",
                cure=f"Name one: `responder run RUNBOOK ...`.{hidden}",
            )
        return chosen[0]


class NotOneRunbook(InputError):
    """An alert that no runbook serves, or several equally: a person chooses."""


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    runbooks: dict[str, str] = Field(default_factory=dict)


def locked(home: Path) -> dict[str, str]:
    """Id to digest of every runbook that this home has registered."""
    return read_model(_Lock, home / LOCK).runbooks if (home / LOCK).exists() else {}


def resolve(home: Path, playbook: Path) -> Runbook | None:
    """The runbook in which a playbook stands, with the digest under which this home has registered it, if it has."""
    if playbook.name != PLAYBOOK or not playbook.is_file():
        return None
    try:
        here = Runbook(contents(playbook.parent), None, shipped=False)
        return replace(here, registered_digest=locked(home).get(here.metadata.id))
    except InputError:
        return None


def registry(home: Path) -> Registry:
    """All runbooks that this home knows; one of the home's wins over a shipped one of the same id, also where it is broken."""
    digests = locked(home)
    found = {one.metadata.id: one for one in (_entry(folder, digests, True) for folder in _folders(SHIPPED))}
    own, broken = dict[str, Runbook](), list[Broken]()
    for folder in _folders(home / "runbooks"):
        try:
            entry = _entry(folder, digests, False)
        except InputError as error:
            broken.append(Broken(folder, error.message, error.cure, _meant(folder)))
            continue
        id = entry.metadata.id
        first = own.setdefault(id, entry)
        if first is not entry:
            chosen, other = (entry, first) if entry.registered and not first.registered else (first, entry)
            own[id] = chosen
            reason = f"{other.folder} has the id {id} of {chosen.folder}, which is used."
            broken.append(Broken(other.folder, reason, "Give it an id of its own, or remove it.", frozenset()))
    for one in broken:
        for id in one.ids:
            found.pop(id, None)
    return Registry({**found, **own}, home, broken)


def _folders(place: Path) -> list[Path]:
    """What stands for a runbook, in order: every folder, and every playbook that is in none. A dot hides, as in `..data` and `.git`."""
    try:
        visible = [path for path in sorted(place.iterdir()) if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror}.", cure=_readable(place)) from error
    return [path for path in visible if path.is_dir() or path.is_symlink() or path.suffix in (".yml", ".yaml")]


def _entry(folder: Path, digests: Mapping[str, str], shipped: bool) -> Runbook:
    """The runbook of a folder, read whole. InputError says what keeps it from being one."""
    book = Runbook(playable(folder), None, shipped)
    entry = replace(book, registered_digest=digests.get(book.metadata.id))
    _ = entry.metadata, entry.digest  # what cannot be read is found here, not in the middle of a run
    return entry


def playable(folder: Path) -> Path:
    """The folder in which a runbook's files are. InputError with the cure where it holds no playbook."""
    try:
        if not folder.exists():
            kind = "is a link to nothing" if folder.is_symlink() else "does not exist"
            raise InputError(f"{folder} {kind}.", cure="Remove it, or correct where it leads.")
        if folder.is_file():
            own = folder.with_suffix("")
            cure = f"{shlex.join(['mkdir', str(own)])} && {shlex.join(['mv', str(folder), str(own / PLAYBOOK)])}"
            raise InputError(f"{folder} is a file, and a runbook is a folder that holds {PLAYBOOK}.", cure=cure)
        real = contents(folder)
        if (real / PLAYBOOK).is_symlink() and not (real / PLAYBOOK).exists():
            raise InputError(f"{folder / PLAYBOOK} is a link to nothing.", cure="Copy the playbook in.")
        if (real / PLAYBOOK).exists() and not (real / PLAYBOOK).is_file():
            raise InputError(f"{folder / PLAYBOOK} is not a file.", cure="Write the playbook in its place.")
        if not (real / PLAYBOOK).is_file():
            other = next((path.name for path in sorted(real.glob("*.y*ml")) if path.is_file()), None)
            named = f"Rename {other} to {PLAYBOOK}" if other else f"Write {PLAYBOOK}"
            raise InputError(f"{folder} holds no {PLAYBOOK}.", cure=f"{named}, or remove the folder.")
    except PermissionError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.", cure=_readable(folder)) from error
    return real


_ID = re.compile(r"^\s*id:\s*[\"']?([a-z][a-z0-9-]{1,63})\b", re.MULTILINE | re.ASCII)


def _meant(folder: Path) -> frozenset[str]:
    """The ids under which people will look for a broken runbook: its folder's name, and what its text calls itself."""
    try:
        text = read_text(contents(folder) / PLAYBOOK)
    except InputError:
        text = ""
    return frozenset({folder.stem if folder.is_file() else folder.name, *_ID.findall(text)[:1]})


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
