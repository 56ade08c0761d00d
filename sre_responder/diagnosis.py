"""What a person would look at first, collected in parallel and read-only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from sre_responder.effects.kubernetes import diagnosis as kubernetes
from sre_responder.evidence.looks import probe
from sre_responder.home.catalogue import Service
from sre_responder.model.actions import KUBERNETES
from sre_responder.model.criterion import Criterion
from sre_responder.model.known_good import KnownGood
from sre_responder.model.look import Place
from sre_responder.model.names import shown
from sre_responder.system.files import opened

DEADLINE_SECONDS = 5.0
LOG_LINES = 20


class Skip(Exception):
    """This collector has nothing to look at; the reason says what would enable it."""


def diagnose(
    service: Service,
    neighbours: Sequence[Service],
    criterion: Criterion | None,
    place: Place | None = None,
    known: KnownGood | None = None,
    again: Callable[[], list[str]] = list,
) -> dict[str, Any]:
    """One part a collector: status ok, skipped, failed or timeout, with data or reason, and seconds.

    `known` is how the service's objects were when it was last healthy, `again` tells which states it is in that were left as bad.
    """
    collectors: dict[str, Callable[[], Any]] = {
        "probe": lambda: _probe(place or Place(service.name, "", service.annotations), criterion),
        "processes": lambda: _processes(service),
        "releases": lambda: _releases(service),
        "log": lambda: _log(service),
        "kubernetes": lambda: _kubernetes(service, known),
        "host": _host,
        "left_as_bad": again,
        "dependencies": lambda: {one.name: _health(one) for one in neighbours},
    }
    found: dict[str, dict[str, Any]] = {}
    began = time.monotonic()
    threads = []
    for name, collector in collectors.items():
        # A daemon: a collector that never answers must not keep the process alive.
        thread = threading.Thread(target=lambda n=name, c=collector: found.update({n: _collect(c)}), daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, DEADLINE_SECONDS - (time.monotonic() - began)))
    late = {"status": "timeout", "reason": f"no answer in {DEADLINE_SECONDS:g} s", "seconds": DEADLINE_SECONDS}
    return {name: found.get(name, late) for name in collectors}


def findings(diagnosis: Mapping[str, Any]) -> list[str]:
    """What a diagnosis found to be wrong, each in a few words."""
    found = {name: part.get("data") for name, part in diagnosis.items() if part.get("status") == "ok"}
    return [*((found.get("kubernetes") or {}).get("findings") or ()), *(found.get("left_as_bad") or ())]


def _collect(collector: Callable[[], Any]) -> dict[str, Any]:
    began = time.monotonic()
    try:
        part: dict[str, Any] = {"status": "ok", "data": collector()}
    except Skip as reason:
        part = {"status": "skipped", "reason": str(reason)}
    except Exception as error:  # whatever one collector meets, the others are still worth reading
        part = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    return {**part, "seconds": round(time.monotonic() - began, 3)}


def _annotation(service: Service, name: str) -> str:
    value = service.annotations.get(f"responder/{name}")
    if not value:
        raise Skip(f"{service.name} has no annotation responder/{name}")
    return value


def _probe(place: Place, criterion: Criterion | None) -> dict[str, Any]:
    take = probe(criterion or Criterion.model_validate({}), place)
    if isinstance(take, str):
        raise Skip(take)
    taken = take()
    return {"ok": taken.ok, "reason": taken.reason, "latency_ms": taken.latency_ms}


def _health(service: Service) -> str:
    take = probe(Criterion.model_validate({}), Place(service.name, "", service.annotations))
    if isinstance(take, str):
        return "unknown: no annotation responder/probe-url"
    taken = take()
    return f"{ {True: 'answers', False: 'answers badly', None: 'unknown'}[taken.ok] }: {taken.reason}"


def _processes(service: Service) -> list[dict[str, Any]]:
    pattern = _annotation(service, "process")
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "create_time", "memory_info", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if pattern in line:
            age, memory = time.time() - process.info["create_time"], process.info["memory_info"]
            found.append(
                {
                    "pid": process.pid,
                    "status": process.info["status"],
                    "age_s": round(age),
                    "rss": memory.rss,
                    "command": shown(line),
                }
            )
    return found


def _releases(service: Service) -> dict[str, Any]:
    root = Path(_annotation(service, "release-root"))
    return {"current": (root / "current").readlink().name, "last": _tail(root / "deployments.log", 5)}


def _log(service: Service) -> list[str]:
    return _tail(Path(_annotation(service, "log-file")), LOG_LINES)


def _kubernetes(service: Service, known: KnownGood | None) -> dict[str, Any]:
    where = {name: service.annotations[key] for name, key in KUBERNETES.items() if key in service.annotations}
    if "namespace" not in where:
        raise Skip(f"{service.name} has no annotation {KUBERNETES['namespace']}")
    return kubernetes.diagnose(where, known)


def _tail(path: Path, lines: int) -> list[str]:
    with opened(path) as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return [shown(line.decode("utf-8", "replace").rstrip(), 300) for line in deque(file, lines)]


def _host() -> dict[str, Any]:
    disk, memory = psutil.disk_usage("/"), psutil.virtual_memory()
    return {
        "disk_used_percent": disk.percent,
        "memory_used_percent": memory.percent,
        "load": [round(x, 2) for x in psutil.getloadavg()],
    }
