"""Ending processes and proving that none is left. Linux only: the proof reads /proc."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from sre_responder.errors import InternalError
from sre_responder.process import alive

MARK = "RESPONDER_RUN"


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
    """Processes whose environment names the run, however far they went from their parent; never this one."""
    if not sys.platform.startswith("linux"):
        raise InternalError("that no process is left can be proven on Linux only.", cure="Run the driver on Linux.")
    wanted = f"{MARK}={run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(psutil.Process(int(entry.name)))
            except (OSError, psutil.NoSuchProcess):
                continue  # gone meanwhile, or another user's: not started by this run
    return [process for process in found if _living(process)]


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


def end_tree(pid: int, started: float, grace_s: float = 3.0) -> Proof:
    """End a process and all below it, as for an ansible-playbook that has no driver."""
    if not alive(pid, started):
        return Proof((), ())
    tree = [psutil.Process(pid), *descendants(pid)]
    return _end(
        lambda: [*(p for p in tree if _living(p)), *(d for p in tree for d in descendants(p.pid) if d not in tree)],
        grace_s,
    )


def described(pid: int) -> ProcessInfo | None:
    """A process that lives, in words; None where it does not."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return _info(process) if _living(process) else None


def _end(find: Callable[[], list[psutil.Process]], grace_s: float) -> Proof:
    seen = {(p.pid, i.started): i for p in find() if (i := _info(p))}
    for process in find():
        _signal(process, process.terminate)
    until = time.monotonic() + grace_s
    while (rest := find()) and time.monotonic() < until:
        time.sleep(0.02)
    for _ in range(50):  # a process may fork while it is being ended
        rest = find()
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
