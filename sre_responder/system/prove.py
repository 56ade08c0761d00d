"""Ending processes and proving that none is left. Linux only: the proof reads /proc."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sre_responder.errors import InternalError
from sre_responder.system.process import PROC, alive, space

MARK = "RESPONDER_RUN"
PLAY_MARK = "RESPONDER_PLAY"
"""What the modules of a plain ansible-playbook bear, which no driver marks as a whole."""
GROUP = "responder-"
"""How the name of a run's control group begins, where its driver could make one."""
_GROUP = re.compile(rf"^0::.*/{GROUP}([^/\n]+)$", re.MULTILINE)


@dataclass(frozen=True)
class ProcessInfo:
    """One process, by the pair that no other process ever has."""

    pid: int
    started: float
    command: str
    user: str


@dataclass(frozen=True)
class Proof:
    """What was ended, and what was left although everything was tried."""

    ended: tuple[ProcessInfo, ...]
    left: tuple[ProcessInfo, ...]


def marked(run: str) -> list[psutil.Process]:
    """Processes whose environment or control group names the run, however far they went from their parent; never this one."""
    if not sys.platform.startswith("linux"):
        raise InternalError("that no process is left can be proven on Linux only.", cure="Run the driver on Linux.")
    wanted = {f"{MARK}={run}", f"{PLAY_MARK}={run}"}
    found = []
    for pid, environ in _environments():
        if not wanted.isdisjoint(environ):
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
    return [process for process in found if _living(process)]


def runs_seen() -> dict[str, str]:
    """Each run of which a process of this machine bears the mark, and the ledger that this process was given."""
    found = {}
    for _, environ in _environments():
        given = dict(one.partition("=")[::2] for one in environ)
        for mark in (MARK, PLAY_MARK):
            if mark in given:
                found[given[mark]] = given.get("RESPONDER_LEDGER", "")
    return found


def _environments() -> Iterator[tuple[int, list[str]]]:
    """What every other process was given, as far as this user may read it; who stands in a run's control group bears its mark."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            given = list[str]()
            with suppress(OSError):  # gone meanwhile, or another user's
                given += (entry / "environ").read_bytes().decode("utf-8", "replace").split("\0")
            with suppress(OSError):
                given += [f"{MARK}={run}" for run in _GROUP.findall((entry / "cgroup").read_text())]
            yield int(entry.name), given


def spared() -> set[int]:
    """Who is never signalled: the first process of the machine or container, this process, and all above it."""
    return {1, os.getpid(), *(process.pid for process in psutil.Process().parents())}


def is_play(pid: int) -> bool:
    """Whether it is an ansible-playbook, or a worker of one, by its command."""
    try:
        words = psutil.Process(pid).cmdline()[:3]
    except psutil.Error:
        return False
    return any(Path(word).name.startswith("ansible-playbook") for word in " ".join(words).split())


def descendants(pid: int) -> list[psutil.Process]:
    """Every living process below `pid`."""
    try:
        return [child for child in psutil.Process(pid).children(recursive=True) if _living(child)]
    except psutil.NoSuchProcess:
        return []


def processes_of(run: str) -> list[ProcessInfo]:
    """The processes of a run that live now."""
    return [_info(process) for process in marked(run)]


def end(run: str, grace_s: float = 3.0, below: Callable[[], list[psutil.Process]] = list) -> Proof:
    """End every process of a run, wherever it went: ask, wait, kill, look again.

    `below` finds what emptied its environment: the driver, which adopts orphans, knows what stands under it.
    """
    return _end(lambda: list({*marked(run), *below()}), grace_s)


def end_trees(run: str, roots: Collection[int], grace_s: float = 3.0) -> Proof:
    """End these processes, all below them, and what bears the mark of their run, as for an ansible-playbook that has no driver.

    One that is spared is named as left, and nothing is ended for being below it.
    """
    never = spared()
    tree = [
        p
        for pid in roots
        if pid not in never and psutil.pid_exists(pid)
        for p in (psutil.Process(pid), *descendants(pid))
    ]
    left = tuple(info for pid in roots if pid in never and (info := described(pid)))

    def find() -> list[psutil.Process]:
        below = [d for p in tree for d in descendants(p.pid)]
        return list({*(p for p in tree if _living(p)), *below, *marked(run)})

    proof = _end(find, grace_s)
    return Proof(proof.ended, (*proof.left, *(info for info in left if info not in proof.left)))


def end_tree(pid: int, started: float, grace_s: float = 3.0) -> Proof:
    """End one process of this machine and all below it, if it is still the one that was started then."""
    return end_trees(f"none-{pid}", [pid], grace_s) if alive(pid, started, space()) else Proof((), ())


def described(pid: int) -> ProcessInfo | None:
    """A process that lives, in words; None where it does not."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return _info(process) if _living(process) else None


def _end(find: Callable[[], list[psutil.Process]], grace_s: float) -> Proof:
    never = spared()

    def ours() -> list[psutil.Process]:
        return [process for process in find() if process.pid not in never]

    seen = {(p.pid, i.started): i for p in ours() if (i := _info(p))}
    for process in ours():
        _signal(process, process.terminate)
    until = time.monotonic() + grace_s
    while (rest := ours()) and time.monotonic() < until:
        time.sleep(0.02)
    for _ in range(50):  # a process may fork while it is being ended
        rest = ours()
        if not rest:
            break
        seen.update({(p.pid, i.started): i for p in rest if (i := _info(p))})
        for process in rest:
            _signal(process, process.kill)
        time.sleep(0.02)
    left = tuple(_info(process) for process in find())
    return Proof(tuple(info for info in seen.values() if info not in left), left)


def _signal(process: psutil.Process, send: Callable[[], None]) -> None:
    try:
        send()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        pass  # gone is what was wanted; what may not be signalled is found again and named


def _living(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _info(process: psutil.Process) -> ProcessInfo:
    try:
        with process.oneshot():
            return ProcessInfo(
                process.pid, process.create_time(), " ".join(process.cmdline())[:200], process.username()
            )
    except psutil.Error:
        return ProcessInfo(process.pid, 0.0, "", "")
