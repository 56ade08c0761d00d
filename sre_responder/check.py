"""Whether all that heals a service can be reached from here: each probe, socket, platform and credential asked once, read-only."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sre_responder.drive.ask import ask
from sre_responder.effects import EFFECTS, PROBES
from sre_responder.effects.kubernetes.api import connect
from sre_responder.effects.kubernetes.workload import find
from sre_responder.errors import EffectFailed, InputError, ResponderError
from sre_responder.evidence.fetch import Login, fetch
from sre_responder.evidence.looks import taken
from sre_responder.evidence.sources.http import Http
from sre_responder.home import Home
from sre_responder.home.annotations import HOSTS, hosts_of
from sre_responder.home.annotations import connection as annotation
from sre_responder.home.catalogue import Service
from sre_responder.home.runbook import Runbook, plays, tasks
from sre_responder.home.shared import Shared, shared
from sre_responder.model import address
from sre_responder.model.actions import ACTIONS, COLLECTION, KUBERNETES, ActionSpec
from sre_responder.model.criterion import SOURCES
from sre_responder.model.look import Look, NotMeasured, Place, Sample
from sre_responder.model.names import shown

DEADLINE_SECONDS = 30.0
_AT_ONCE = 32
_REFUSES = (401, 403, 407)
Arguments = Mapping[str, Any]
State = Literal["reached", "not reached", "unknown"]


@dataclass(frozen=True)
class Question:
    """One thing that a service's annotations or a registered runbook use, and how it is asked; `look` says what it found."""

    service: str
    environment: str
    subject: str
    uses: tuple[str, ...]
    look: Callable[[], str]
    on_host: bool = False
    kind: str = ""
    """A platform, `probe` or `log`."""


@dataclass(frozen=True)
class Answer:
    """What a question came to: reached, not reached, or unknown where nothing could be asked."""

    service: str
    environment: str
    subject: str
    uses: tuple[str, ...]
    state: State
    reason: str
    cure: str = ""
    kind: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check(home: Home, services: Iterable[tuple[Service, str]], seconds: float = DEADLINE_SECONDS) -> list[Answer]:
    """Ask everything of these services in these environments, in parallel and within one deadline."""
    chosen = list(services)
    asked = [one for service, environment in chosen for one in questions(home, service, environment)]
    names = {(service.name, environment) for service, environment in chosen}
    everything = shared(home.catalogue.services.values())
    asked += [_refused(one) for one in everything if (one.service, one.environment) in names]
    until = time.monotonic() + seconds
    found: dict[int, Answer] = {}
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number, question in enumerate(asked):
        if not question.on_host:
            waiting.put(number)

    def work() -> None:
        while time.monotonic() < until:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            found[number] = _answer(asked[number])

    # Daemons: what never answers must not keep this process alive.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(asked)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    for number, question in enumerate(
        asked
    ):  # Ansible gets this process's environment and folder, so one after another
        if question.on_host and time.monotonic() < until:
            found[number] = _answer(question)
    late = f"no answer within {seconds:g} s"
    return [found.get(n) or _said(one, "not reached", late, "Check that it runs.") for n, one in enumerate(asked)]


def _answer(question: Question) -> Answer:
    try:
        return _said(question, "reached", question.look())
    except _Unknown as error:
        return _said(question, "unknown", error.reason, error.cure)
    except ResponderError as error:
        return _said(question, "not reached", error.message, error.cure)
    except Exception as error:  # whatever one meets, the others are still worth asking
        return _said(question, "not reached", f"{type(error).__name__}: {shown(error)}")


def _said(question: Question, state: State, reason: str, cure: str = "") -> Answer:
    return Answer(
        question.service, question.environment, question.subject, question.uses, state, reason, cure, question.kind
    )


class _Unknown(Exception):
    """Nothing can be asked, so nothing is known; why, and what would enable it."""

    def __init__(self, reason: str, *, cure: str) -> None:
        super().__init__(reason)
        self.reason, self.cure = reason, cure


def questions(home: Home, service: Service, environment: str) -> list[Question]:
    """Everything that annotations and registered runbooks use for a service, each once; one that is unknown if that is nothing."""
    way, found = service.reached(environment), dict[tuple[Any, ...], Question]()
    books, place = [book for book in home.runbooks if book.registered], home.place(service.name, environment)
    for uses, subject, key, look, on_host in (
        *_platforms(home, way, books),
        *_connections(place),
        *_probes(place, books),
        *_files(way),
    ):
        known = found[key].uses if key in found else ()
        every = tuple(dict.fromkeys((*known, *uses)))
        found[key] = Question(service.name, environment, subject, every, look, on_host, kind=key[0])

    def nothing() -> str:
        raise _Unknown(
            f"no annotation says how {service.name} is reached in {environment}.",
            cure="Annotate it with responder/probe-url and those of its platforms; see docs/start.md.",
        )

    return list(found.values()) or [Question(service.name, environment, "annotations", (), nothing)]


def _refused(one: Shared) -> Question:
    """What needs no asking: the catalogue itself says that no run would be allowed."""

    def look() -> str:
        raise InputError(f"{one.problem}.", cure=one.cure)

    return Question(one.service, one.environment, f"environment, by its {one.platform}", (), look)


_Found = tuple[tuple[str, ...], str, tuple[Any, ...], Callable[[], str], bool]


def _platforms(home: Home, way: Mapping[str, str], books: list[Runbook]) -> Iterator[_Found]:
    """The platforms of every action: as the annotations alone say, and as each registered runbook's tasks do."""
    used: list[tuple[ActionSpec, dict[str, Any], tuple[str, ...], str]] = []
    for book in books:
        for play, node in plays(book.playbook):
            for task in tasks(play, node):
                if task.action in ACTIONS:  # where a module of another collection leads, only its own check mode says
                    written = _written(play, task.module, task.arguments)
                    used.append((ACTIONS[str(task.action)], written, (book.metadata.id,), str(play.get("hosts"))))
    platforms = {spec.platform for spec, *_ in used}
    used += [(spec, {}, (), "localhost") for spec in ACTIONS.values() if spec.platform not in platforms]
    for spec, written, uses, hosts in used:
        given = {option: way[key] for option, key in spec.annotations.items() if key in way}
        given |= written
        given = {option: value for option, value in given.items() if option in _asking(spec)}
        if not any(option in spec.annotations for option in given):
            continue
        if spec.platform == "kubernetes":
            if not {"name", "selector", "kubernetes_id"} & set(given):
                continue  # a node, or a workload that another action names
            yield _kubernetes(given, uses)
            continue
        where = {option: given.get(option) for option in spec.locates}
        subject = f"{spec.platform} {' '.join(_place(value) for value in where.values() if value)}"
        for host in _hosts(way, hosts) if spec.on_host else ("",):
            look = partial(_asked, home, spec, way, given, host)
            yield (
                uses,
                f"{subject}{f' on {host}' if host else ''}",
                (spec.platform, *where.values(), host),
                look,
                spec.on_host,
            )


def _asking(spec: ActionSpec) -> set[str]:
    """The options without which its platform cannot be asked."""
    located = KUBERNETES if spec.platform == "kubernetes" else spec.locates
    return {*located, *spec.reaches}


def _written(play: Mapping[str, Any], module: str, arguments: Any) -> dict[str, Any]:
    """The options of a task, with those that its play sets for the module."""
    defaults = play.get("module_defaults")
    rows = [defaults.get(key) for key in (f"group/{COLLECTION}.guarded", module)] if isinstance(defaults, dict) else []
    return {str(key): value for row in (*rows, arguments) if isinstance(row, dict) for key, value in row.items()}


def _hosts(way: Mapping[str, str], play: str) -> list[str]:
    return hosts_of(way) or [word.strip() for word in play.split(",") if word.strip()]


def _place(value: object) -> str:
    return address.shown(str(value)) if "://" in str(value) else shown(value)


def _kubernetes(given: Arguments, uses: tuple[str, ...]) -> _Found:
    where = {option: given[option] for option in KUBERNETES if option in given}

    def look() -> str:
        _complete(where, ("namespace",), KUBERNETES)
        return f"{find(connect(where), where).resource}"

    named = where.get("name") or where.get("selector") or where.get("kubernetes_id")
    subject = f"kubernetes {shown(named)} in {shown(where.get('namespace'))}"
    return uses, subject, ("kubernetes", repr(sorted(where.items()))), look, False


def _asked(home: Home, spec: ActionSpec, way: Mapping[str, str], given: Arguments, host: str) -> str:
    _complete(given, spec.locates, spec.annotations)
    if spec.on_host:
        return _on_host(home, spec, given, host)
    return _looked(spec, {**home.connections.login(spec, way), **given})


def _complete(given: Arguments, needed: Iterable[str], annotations: Mapping[str, str]) -> None:
    """Refuse to ask where an option is missing, or is Jinja, which only a run evaluates."""
    if missing := [annotations[option] for option in needed if not given.get(option)]:
        raise _Unknown(f"{' and '.join(missing)} not set.", cure="Add it to the service's annotations.")
    if templates := [option for option, value in given.items() if "{{" in str(value) or "{%" in str(value)]:
        raise _Unknown(
            f"the runbook computes {', '.join(templates)}, which only a run does.", cure="See it with `responder plan`."
        )


def _looked(spec: ActionSpec, given: Arguments) -> str:
    look = EFFECTS[spec.name].look
    if look is None:
        raise _Unknown(f"{spec.platform} has no way to be asked.", cure="See it with `responder plan`.")
    return look(given)


def _on_host(home: Home, spec: ActionSpec, given: Arguments, host: str) -> str:
    if "{{" in host or "{%" in host:
        raise _Unknown("the runbook computes its hosts, which only a run does.", cure=f"List them in {HOSTS}.")
    probe = PROBES[spec.name]
    return probe.told(given, probe.understand(given, ask(host, probe.module, probe.arguments(given), home)))


def _connections(place: Place) -> Iterator[_Found]:
    """The connections of a service to sources of evidence, whatever a runbook asks of them."""
    for source, kind in SOURCES.items():
        if kind.login and (named := place.annotations.get(annotation(source))):

            def look(source: str = source) -> str:
                try:
                    return str(SOURCES[source].reached(place.login(source, None)))
                except NotMeasured as error:
                    raise EffectFailed(f"{error}.", cure="Check connections.yml and the network.") from error

            yield (), f"{source} {shown(named)}", (source, named), look, False


def _probes(place: Place, books: list[Runbook]) -> Iterator[_Found]:
    """What success criteria ask: each address once, for all registered runbooks that ask it, and each look of another source by itself."""
    plain = Http()
    asking: dict[tuple[str, str | None], dict[str, Http]] = {}
    if url := plain.address(place):
        asking[url, None] = {}
    for book in books:
        criterion = book.metadata.success
        if any(one.workload and one.required and one.missing(place) for one in criterion.must):
            continue  # it is for services on Kubernetes
        for look in criterion.looks:
            if not (look.workload or (isinstance(look, Http) and not look.url) or _meant_for(place.annotations, book)):
                continue
            if isinstance(look, Http):
                if url := look.address(place):
                    asking.setdefault((url, look.connection), {})[book.metadata.id] = look
            elif look.missing(place) is None:
                kind, what = look.source if look.login else "probe", f"probe of {book.metadata.id} on {look.title}"
                yield (book.metadata.id,), what, (kind, look.key), partial(_measured, look, place), False
    for (url, named), looks in asking.items():
        used = named or annotation(plain.source) in place.annotations
        kind = plain.source if used else "probe"
        yield (
            tuple(looks),
            f"probe {address.shown(url)}",
            (kind, url, named),
            partial(_fetched, url, named, looks, place),
            False,
        )


def _meant_for(way: Mapping[str, str], book: Runbook) -> bool:
    """Whether a runbook that names an address of its own can act on this service at all."""
    return any(
        key in way or (isinstance(task.arguments, Mapping) and option in task.arguments)
        for task in book.steps
        if task.action in ACTIONS
        for option, key in ACTIONS[str(task.action)].annotations.items()
    )


def _measured(look: Look, place: Place) -> str:
    return _judged({"": taken("must", look, place).sample})


def _fetched(url: str, named: str | None, looks: Mapping[str, Http], place: Place) -> str:
    wanted = looks or {"": Http()}
    try:
        login: Login | None = place.login(Http().source, named)
        answer = fetch(url, max(one.timeout_s for one in wanted.values()), login=login)
    except NotMeasured as error:
        raise EffectFailed(f"{error}.", cure="Check the address, the service and the network.") from error
    if answer.status in _REFUSES and answer.status not in {one.status for one in wanted.values()}:
        cure = f"Let this machine read it, or name a connection with its login: {annotation(Http().source)}."
        raise EffectFailed(f"it answers {answer.status}.", cure=cure)
    return _judged({id: one.judge(answer) for id, one in wanted.items()})


def _judged(samples: Mapping[str, Sample]) -> str:
    """What criteria say of what was asked. Where none can judge it, no verdict would be possible.

    Some that cannot are told and no more: a runbook for other services is registered too.
    """
    words = {True: "healthy", False: "unhealthy"}
    unclear = [id for id, one in samples.items() if one.ok is None]
    if len(unclear) == len(samples):
        raise _Unknown(
            "; ".join(f"{id}: {one.reason}".removeprefix(": ") for id, one in samples.items()) + ".",
            cure="Correct the runbook's success, or what answers.",
        )
    said = [f"{words[one.ok]}: {one.reason}" for one in samples.values() if one.ok is not None]
    return "; ".join(dict.fromkeys([*said, *([f"not a probe for {', '.join(unclear)}"] if unclear else [])]))


def _files(way: Mapping[str, str]) -> Iterator[_Found]:
    if file := way.get("responder/log-file"):
        yield (), f"log {shown(file)}", ("log", file), lambda: _log(Path(file)), False


def _log(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a file on this machine.", cure="Correct responder/log-file.")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", cure=f"Let this user read it: {path}") from error
    return "can be read"
