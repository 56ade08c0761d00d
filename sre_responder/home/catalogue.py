"""The service catalogue: Backstage documents, and what depends on what."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict

from sre_responder.errors import InputError
from sre_responder.home.annotations import CRITICALITIES, CRITICALITY, ENVIRONMENTS, TIER, doubts
from sre_responder.home.dependencies import Dependencies
from sre_responder.home.documents import documents_of, line_of, pieces, read_text, validated
from sre_responder.model import address, names

Tier = Literal["edge", "middleware", "backend"]

UNKNOWN = "unknown"
"""The owner of a service whose file names none."""


class _Metadata(BaseModel):
    name: str
    namespace: str | None = None


class _Spec(BaseModel):
    owner: str | None = None
    lifecycle: str | None = None
    dependsOn: list[str] | None = None
    dependencyOf: list[str] | None = None


class _Component(BaseModel):
    """One Backstage Component; fields that Responder does not use are left to Backstage."""

    model_config = ConfigDict(extra="ignore")
    metadata: _Metadata
    spec: _Spec | None = None


@dataclass(frozen=True)
class Service:
    """One service: who owns it, what it needs, and how its platforms are reached (annotations `responder/...`)."""

    name: str
    owner: str
    tier: Tier | None
    depends_on: tuple[str, ...]
    annotations: Mapping[str, str]
    environments: tuple[str, ...] = (names.STRICTEST,)
    """Where it exists, the strictest last."""
    doubts: tuple[str, ...] = ()
    """Its annotations that do nothing as they are written, each with file, line and cure."""

    def reached(self, environment: str) -> Mapping[str, str]:
        """How it is reached in an environment: its annotations, those of the environment before the common ones.

        `staging.responder/probe-url` is `responder/probe-url` in staging.
        """
        start = f"{environment}."
        own = {key.removeprefix(start): value for key, value in self.annotations.items() if key.startswith(start)}
        return {**self.annotations, **own}

    @property
    def tier_0(self) -> bool:
        """Whether everything hangs on it; a criticality that is not known counts as the highest."""
        told = (value for key, value in self.annotations.items() if key.endswith(CRITICALITY))
        return any(one not in CRITICALITIES[1:] for one in told)

    def only(self, environment: str) -> Service:
        """The same service as it is in one environment."""
        return replace(self, annotations=self.reached(environment))


@dataclass(frozen=True)
class Unread:
    """What stands in the catalogue and cannot be used: it may need or reach whatever its text names."""

    name: str
    text: str

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(re.findall(r"""[^\s"',\[\]{}]+""", self.text))

    def names(self, services: Iterable[str]) -> list[str]:
        """The services that it mentions, in any way of writing a reference."""
        told = {word.rpartition(":")[2].lower() for word in self.words}
        told |= {word.rpartition("/")[2] for word in told}
        return [one for one in services if {one.lower(), one.lower().rpartition("/")[2]} & told and one != self.name]

    def reaches(self, values: Iterable[str]) -> bool:
        """Whether a target of these options could be its own, in whatever spelling."""
        return all(any(_may_be(word, value) for word in self.words) for value in values)


class Catalogue:
    """All services and the graph of what depends on what; what could not be read disables only what it names."""

    def __init__(
        self, services: Mapping[str, Service], source: Path, unusable: Mapping[str, str] | None = None,
        problems: Sequence[str] = (), ignored: Sequence[Path] = (), unread: Sequence[Unread] = (),
    ) -> None:  # fmt: skip
        self.services = services
        self.source = source
        self.unusable = unusable or {}
        """Services that are written down wrongly, and what is wrong."""
        self.problems = tuple(problems)
        """Everything that is wrong, each with file, line and cure."""
        self.ignored = tuple(ignored)
        """Files that hold no Backstage entity, such as mkdocs.yml or a template of one."""
        self.unread = tuple(unread)

    def connected(self, expanded: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Catalogue:
        """The same with annotations as `expanded` makes them; a service for which it cannot is unusable, and may reach anything."""
        services, unusable, problems, unread = (
            dict(self.services),
            dict(self.unusable),
            [*self.problems],
            [*self.unread],
        )
        for name, service in self.services.items():
            try:
                if (annotations := expanded(service.annotations)) is not service.annotations:
                    services[name] = replace(service, annotations=annotations)
            except InputError as error:
                del services[name]
                unusable[name] = error.message
                problems.append(f"{name}: {error}")
                unread.append(Unread(name, " ".join(service.annotations.values())))
        return Catalogue(services, self.source, unusable, problems, self.ignored, unread)

    @cached_property
    def needs(self) -> Mapping[str, frozenset[str]]:
        """What each service needs; what could not be read may need all that it mentions, and they it."""
        needs = {service.name: {*service.depends_on} for service in self.services.values()}
        for one in self.unread:
            mentioned = one.names(self.services)
            needs.setdefault(one.name, set()).update(mentioned)
            for other in mentioned:
                needs[other].add(one.name)
        return {name: frozenset(needed) for name, needed in needs.items()}

    def service(self, name: str) -> Service:
        """The service of that name; InputError with near matches where there is none."""
        names.service(name)
        if name in self.unusable:
            raise InputError(f"service '{name}' cannot be used: {self.unusable[name]}", cure="See `responder doctor`.")
        if name not in self.services:
            near = [one for one in self.services if one.lower().rpartition("/")[2] == name.lower()]
            near = near or difflib.get_close_matches(name, self.services, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else f"Add it to {self.source}."
            raise InputError(f"service '{names.shown(name)}' is not in the catalogue {self.source}.", cure=hint)
        return self.services[name]

    def environment(self, name: str, wanted: str) -> str:
        """The environment, if it is one in which this service exists; what an alert or a caller says does not make it one."""
        found = self.service(name)
        if names.environment(wanted) not in found.environments:
            raise InputError(
                f"the catalogue {self.source} gives {name} no environment {wanted}: it exists in {', '.join(found.environments)}.",
                cure=f"Name one of these; or, where {name} really has a {wanted} of its own, add it to the annotation {ENVIRONMENTS}.",
            )
        return wanted

    def stricter(
        self, name: str, environment: str, reaches: Callable[[Mapping[str, str]], bool], told: Mapping[str, str]
    ) -> str | None:
        """Who else this target is, in a stricter environment: `SERVICE in ENVIRONMENT`; None where it is nobody's.

        `reaches` says whether annotations may lead to the target, `told` what the action was given to find it, by annotation. One
        target has one set of limits, the strictest, whatever it is called. A target to which the service's own annotations do not
        lead in this environment, all of them, may be that of any other of its environments.
        """
        own = self.service(name)
        way = own.reached(environment)
        rank, foreign = names.ENVIRONMENTS.index(environment), not (set(told) <= set(way) and reaches(way))
        for service in self.services.values():
            for other in service.environments:
                if names.ENVIRONMENTS.index(other) <= rank:
                    continue
                if (service is own and foreign) or reaches(service.reached(other)):
                    return f"{service.name} in {other}"
        if environment == names.STRICTEST:
            return None
        hidden = next((one for one in self.unread if told and one.name != name and one.reaches(told.values())), None)
        return f"{hidden.name} (which cannot be read, see responder doctor) in {names.STRICTEST}" if hidden else None

    def values(self, key: str) -> list[str]:
        """What an annotation says, over all services and environments."""
        ways = (service.reached(one) for service in self.services.values() for one in service.environments)
        return sorted({way[key] for way in ways if key in way})

    def cycles(self) -> list[list[str]]:
        """Services that depend on themselves through others."""
        return Dependencies({service.name: service.depends_on for service in self.services.values()}).cycles()


def load(path: Path, *more: Path) -> Catalogue:
    """The catalogue of a file or of every YAML file in a folder. InputError where no service can be used at all."""
    return _Reader(path, more).catalogue()


class _Reader:
    """Reads Backstage documents as Backstage takes them; one that is wrong is kept with its reason, and stops no other."""

    def __init__(self, path: Path, more: Sequence[Path]) -> None:
        self.path, self.more = path, more
        self.found: dict[str, tuple[_Component, dict[str, str], str]] = {}
        self.doubts: dict[str, tuple[str, ...]] = {}
        self.unusable: dict[str, str] = {}
        self.problems: list[str] = []
        self.ignored: list[Path] = []
        self.written: dict[str, str] = {}
        """The text of each component, by its name, or by its place where it has none."""

    def catalogue(self) -> Catalogue:
        for file in (*_files(self.path), *self.more):
            self._file(file)
        self.problems += _closed(self.path)
        known = {name.lower(): name for name in (*self.found, *self.unusable)}
        needs: dict[str, list[str]] = {name: [] for name in self.found}
        for name, (component, _, _) in self.found.items():
            spec = component.spec or _Spec()
            for reference in spec.dependsOn or ():
                if needed := self._needed(reference, name, known):
                    needs[name].append(needed)
            for reference in spec.dependencyOf or ():
                if (dependent := self._needed(reference, name, known)) in needs:
                    needs[dependent].append(name)
        services = {
            name: service for name in self.found if (service := self._service(name, tuple(dict.fromkeys(needs[name]))))
        }
        if not services:
            first = self.problems[0] if self.problems else f"{self.path} holds no Component."
            raise InputError(first, cure="Add a Backstage document with kind: Component." if not self.problems else "")
        unread = [Unread(name, text) for name, text in self.written.items() if name not in services]
        return Catalogue(services, self.path, self.unusable, self.problems, [*dict.fromkeys(self.ignored)], unread)

    def _file(self, file: Path) -> None:
        try:
            text = read_text(file)
        except InputError as error:
            self.problems.append(f"{error} Which services are written in it is not known.")
            return
        try:
            documents = list(documents_of(text, file, fast=True))
        except InputError:
            if not _COMPONENT.search(text):
                self.ignored.append(file)
                return
            documents = [one for piece in pieces(text) for one in self._piece(file, piece)]
        entities = [(value, node) for value, node in documents if isinstance(value, dict) and "kind" in value]
        if not entities and not any(problem.startswith(f"{file}:") for problem in self.problems):
            self.ignored.append(file)
        for value, node in entities:
            if str(value["kind"]).lower() != "component":  # Backstage folders also hold Groups, APIs, Systems
                continue
            if _is_template(value):
                self.ignored.append(file)
            else:
                self._component(file, value, node, text)

    def _piece(self, file: Path, text: str) -> list[tuple[Any, yaml.Node]]:
        """The document of a piece of a file. One that is no YAML disables the services that it names, if it may be of a component."""
        try:
            return list(documents_of(text, file, fast=True))
        except InputError as error:
            if _TEMPLATE.search(text):
                self.ignored.append(file)
                return []
            named = _names_of(text)
            self.problems.append(f"{error}{f' Until then {named[0]} cannot be used.' if named else ''}")
            kind = _KIND.search(text)
            if kind is None or kind[1].lower() == "component":
                place = f"the document at {file}:{text.count(chr(10), 0, len(text) - len(text.lstrip())) + 1}"
                for name in named or [place]:
                    self.written[name] = f"{self.written.get(name, '')}\n{text}"
                    self.unusable[name] = error.message
                    self.found.pop(name, None)
            return []

    def _component(self, file: Path, value: dict[str, Any], node: yaml.Node, text: str) -> None:
        place = f"{file}:{node.start_mark.line + 1}"
        name = _name(value)
        own = "\n".join(text.splitlines()[node.start_mark.line : node.end_mark.line + 1])
        key = name or f"the document at {place}"
        self.written[key] = f"{self.written.get(key, '')}\n{own}"
        try:
            component = validated(_Component, value, file, node)
            name = _named(component.metadata.name, component.metadata.namespace, place)
            if name in self.found or name in self.unusable:
                raise InputError(f"{place}: service '{name}' is defined twice.", cure="Keep one definition.")
            annotations = _annotations(node, file)
        except InputError as error:
            self.problems.append(str(error))
            if name:
                self.unusable[name] = error.message
                self.found.pop(name, None)
            return
        self.found[name] = component, annotations, place
        self.doubts[name] = tuple(
            f"{file}:{line_of(node, ('metadata', 'annotations', key))}: annotation {names.shown(key)} of {name}: {why}"
            for key, why in doubts(annotations)
        )

    def _service(self, name: str, needs: tuple[str, ...]) -> Service | None:
        component, annotations, place = self.found[name]
        spec, tier = component.spec or _Spec(), annotations.get(TIER)
        try:
            if tier not in (None, "edge", "middleware", "backend"):
                raise InputError(f"{place}: responder/tier '{names.shown(tier)}' is not edge, middleware or backend.")
            where = _environments(annotations.get(ENVIRONMENTS), spec.lifecycle, place)
        except InputError as error:
            self.problems.append(str(error))
            self.unusable[name] = error.message
            return None
        elsewhere = tuple(
            f"{place}: annotation {key} of {name}: {name} does not exist there. Add it to {ENVIRONMENTS}, or remove this."
            for key in annotations
            if "responder/" in key and (one := key.partition(".")[0]) in names.ENVIRONMENTS and one not in where
        )
        doubtful = (*self.doubts[name], *elsewhere)
        self.problems += doubtful
        # mypy does not narrow text by membership in a tuple; tier was checked above
        return Service(name, spec.owner or UNKNOWN, tier, needs, annotations, where, doubtful)  # type: ignore[arg-type]

    def _needed(self, reference: str, mine: str, known: Mapping[str, str]) -> str | None:
        """The service of a reference `[kind:][namespace/]name`, in any case; None where it is of another kind or none at all."""
        component, _, place = self.found[mine]
        kind, _, rest = reference.rpartition(":")
        if kind.lower() not in ("", "component"):
            return None
        space, _, name = rest.rpartition("/")
        try:
            needed = _named(name, space or component.metadata.namespace, place)
        except InputError as error:
            self.problems.append(str(error))
            return None
        if needed.lower() in known:
            return known[needed.lower()]
        near = difflib.get_close_matches(needed, known.values(), n=1)
        cure = f"Did you mean {near[0]}?" if near else "Add it, or remove the dependency."
        self.problems.append(f"{place}: service '{mine}' depends on '{needed}', which is not in the catalogue. {cure}")
        return needed


_KIND = re.compile(r"""\bkind["']?\s*:\s*["']?(\w+)""")
_COMPONENT = re.compile(r"""\bkind["']?\s*:\s*["']?component\b""", re.IGNORECASE)
_NAME = re.compile(
    r"""^[ \t]+["']?name["']?[ \t]*:[ \t]*["']?([\w.-]+)|[{,]\s*["']?name["']?\s*:\s*["']?([\w.-]+)""", re.MULTILINE
)
_TEMPLATE = re.compile(r"""\bname["']?\s*:\s*["']?\$?\{\{""")
"""A name that Backstage's scaffolder fills in: the file is a template of an entity, and no entity."""
_SPACE = re.compile(r"""(?:^[ \t]+|[{,]\s*)["']?namespace["']?[ \t]*:[ \t]*["']?([\w.-]+)""", re.MULTILINE)


def _is_template(value: Mapping[str, Any]) -> bool:
    metadata = value.get("metadata")
    return isinstance(metadata, dict) and _TEMPLATE.match(f"name: {metadata.get('name')}") is not None


def _names_of(text: str) -> list[str]:
    """The services that a document may be of which is no YAML."""
    space, found = _SPACE.search(text), []
    for match in _NAME.finditer(text):
        with suppress(InputError):
            found.append(_named(match[1] or match[2], space[1] if space else None, ""))
    return found


def _files(path: Path) -> list[Path]:
    """The YAML files of a folder, each once. Names with a dot are no part of it: `..data` of a mounted ConfigMap, `.git`."""
    if not path.is_dir():
        return [path]
    seen: set[str] = set()
    visible: list[Path] = []
    for root, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        visible += [
            Path(root, name)
            for name in (files if real not in seen else ())
            if name.lower().endswith((".yml", ".yaml")) and not name.startswith(".")
        ]
        seen.add(real)
    return list({file.resolve(): file for file in sorted(visible)}.values())


def _closed(path: Path) -> list[str]:
    """The folders that may not be read: looking for files passes them over in silence."""
    lost: list[OSError] = []
    for _ in os.walk(path, onerror=lost.append):
        """Only what it meets on its way counts."""
    return [
        f"{error.filename} cannot be read: {error.strerror}. Let the user of Responder read it: chmod -R u+rX {shlex.quote(str(error.filename))}. "
        "Which services are written in it is not known."
        for error in lost
        if path.is_dir() and not any(part.startswith(".") for part in Path(error.filename).relative_to(path).parts)
    ]


def _name(value: Mapping[str, Any]) -> str:
    """The name of a document that may be wrong elsewhere; empty where it has none."""
    metadata = value.get("metadata")
    name, space = (metadata.get("name"), metadata.get("namespace")) if isinstance(metadata, dict) else (None, None)
    try:
        return _named(name, space, "") if isinstance(name, str) and isinstance(space, str | None) else ""
    except InputError:
        return ""


def _annotations(node: yaml.Node, file: Path) -> dict[str, str]:
    """Annotations as Backstage takes them: text, also where YAML would read a number, a date or a yes."""
    found: dict[str, str] = {}
    for key, value in _pairs(_below(_below(node, "metadata"), "annotations")):
        if not isinstance(value, yaml.ScalarNode):
            place = f"{file}:{value.start_mark.line + 1}"
            raise InputError(f"{place}: annotation {names.shown(key)} is not text.", cure="Write one line of text.")
        if value.tag != "tag:yaml.org,2002:null":
            found[key] = value.value.strip()
    return found


def _below(node: yaml.Node | None, wanted: str) -> yaml.Node | None:
    return next((value for key, value in reversed(_pairs(node)) if key == wanted), None)


def _pairs(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """What a mapping holds, after its merge keys were taken in when it was read."""
    return [(key.value, value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _may_be(word: str, value: str) -> bool:
    """Whether a word of a document that cannot be read may mean the value of an option."""
    if one_spelling(word) == one_spelling(value):
        return True
    if "://" in word and "://" in value:
        with suppress(ValueError):  # many a word is no address
            return address.one(*(f"http://{urlsplit(url).netloc}" for url in (word, value)))
        return False
    parts = [{*text.lower().split(":")} - {"", "*"} for text in (word, value)]
    return "/" not in word + value and not parts[0].isdisjoint(parts[1])


def one_spelling(value: object) -> str:
    """A place in one spelling: this machine has one name, a path leads behind its links, and a slash at the end says nothing."""
    text = re.sub(r"\blocalhost\b|\[::1\]", "127.0.0.1", str(value or "")).removeprefix("unix://")
    return os.path.realpath(text) if text.startswith("/") else text.lower().rstrip("/")


def _environments(listed: str | None, lifecycle: str | None, place: str) -> tuple[str, ...]:
    """As the annotation lists them; else the lifecycle, where that is one; else production, so that nothing is judged too mildly."""
    if listed is None:
        return (lifecycle if lifecycle and lifecycle in names.ENVIRONMENTS else names.STRICTEST,)
    found = {word.strip() for word in listed.split(",")}
    if not found <= {*names.ENVIRONMENTS}:
        raise InputError(
            f"{place}: {ENVIRONMENTS} '{names.shown(listed)}' is not a list of environments.",
            cure=f"Write some of {', '.join(names.ENVIRONMENTS)}, with commas between them.",
        )
    return tuple(one for one in names.ENVIRONMENTS if one in found)


def _named(name: str, namespace: str | None, place: str) -> str:
    """A service as people name it: by its namespace too, unless that is Backstage's default."""
    full = name if (namespace or "default").lower() == "default" else f"{namespace}/{name}"
    try:
        if "/" in name:
            raise InputError(f"service '{names.shown(name)}' is not a service name.", cure="Leave out the slash.")
        return names.service(full)
    except InputError as error:
        raise InputError(f"{place}: {error.message}", cure=error.cure) from error
