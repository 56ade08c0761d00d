"""A process by what no clock can move: its number, its start in ticks since boot, and the space in which the number counts."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_INITIAL = "pid:[4026531836]"
"""The PID namespace of a machine itself, as every Linux numbers it; a container has another."""


@cache
def space() -> str:
    """Machine, boot, PID and time namespace: where a number and a start mean one process. Empty if /proc shows another namespace's."""
    try:
        if os.readlink(PROC / "self") != str(os.getpid()):
            return ""
        parts = (
            _read(Path("/etc/machine-id")),
            (PROC / "sys/kernel/random/boot_id").read_text().strip(),
            os.readlink(PROC / "self/ns/pid"),
            os.readlink(PROC / "self/ns/time"),
        )
    except OSError:
        return ""
    return "/".join(parts)


def since_boot() -> tuple[str, float]:
    """Which boot of this machine it is, and the seconds since: no step of the clock changes them. Empty where the system does not say."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except OSError:
        return "", 0.0


def started(pid: int) -> float:
    """Seconds from boot to the start of a process. No step of the clock changes it, as it does psutil's time of creation."""
    return int(_stat(pid)[19]) / _TICKS


def alive(pid: int, since: float, where: str) -> bool | None:
    """Whether that very process lives; None if it cannot be seen from here, which proves nothing. A zombie does not live."""
    here = space()
    if not where or where != here:
        return False if _rebooted(where, here) else None
    try:
        fields = _stat(pid)
    except FileNotFoundError:
        return None if _hidden(pid) else False
    except ProcessLookupError:
        return False
    return fields[0] not in "ZX" and abs(int(fields[19]) / _TICKS - since) < 0.5 / _TICKS


def _rebooted(where: str, here: str) -> bool:
    """Whether that was this very machine, and no container on it, before it was started again."""
    then, now = where.split("/"), here.split("/")
    same = len(then) == len(now) == 4 and bool(now[0]) and then[0] == now[0]
    return same and then[2] == now[2] == _INITIAL and then[1] != now[1]


def _hidden(pid: int) -> bool:
    """Whether it exists although /proc does not show it to this user (`hidepid`)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
