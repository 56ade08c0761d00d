"""A process of this machine, known by number and start: whether that very one lives."""

from __future__ import annotations

import psutil


def alive(pid: int, started: float) -> bool:
    """Whether it lives; a zombie does not, nor does another that got its number. `started` is in seconds since the epoch."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
