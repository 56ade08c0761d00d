"""A deadline inside this process: when it passes, whatever runs is interrupted, also a call that would catch exceptions."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class DeadlinePassed(BaseException):
    """Not an Exception: what runs must not take it for one of its own errors and go on."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise DeadlinePassed in the block after `seconds`; None is no deadline. In other threads there is none, as signals are.

    An alarm that was set before (a task's own timeout) goes off at its time, in the block or after it.
    """
    if seconds is None or not _main_thread():
        yield
        return
    earlier, began = signal.getsignal(signal.SIGALRM), time.monotonic()
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    gone: list[bool] = []

    def passed(number: int, frame: FrameType | None) -> None:
        if callable(earlier) and left and time.monotonic() - began >= left - 0.001:
            gone.append(True)
            earlier(number, frame)
        raise DeadlinePassed(f"not done within {seconds:g} s")

    signal.signal(signal.SIGALRM, passed)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left) if left and callable(earlier) else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
        if left and not gone:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)))


def remaining() -> float | None:
    """The seconds until this process is interrupted; None if it is not."""
    return signal.getitimer(signal.ITIMER_REAL)[0] or None


_HELD: list[tuple[Any, list[int]]] = []
"""The handlers of alarms that are held back, and the alarms that came meanwhile."""


@contextmanager
def held() -> Iterator[None]:
    """No alarm goes off in the block, save where it is `released`: what is being put on the record is recorded whole.

    One that comes too late to end anything is dropped. (A mask of signals would hold for one thread only.)
    """
    if not _main_thread():
        yield
        return
    earlier, late = signal.getsignal(signal.SIGALRM), list[int]()
    signal.signal(signal.SIGALRM, lambda number, _frame: late.append(number))
    _HELD.append((earlier, late))
    try:
        yield
    finally:
        _HELD.pop()
        signal.signal(signal.SIGALRM, earlier)


@contextmanager
def released() -> Iterator[None]:
    """Alarms go off in this block again, one that came before at its beginning."""
    if not _HELD or not _main_thread():
        yield
        return
    (earlier, late), holding = _HELD[-1], signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, earlier)
    try:
        if late and callable(earlier):
            late.clear()
            signal.raise_signal(signal.SIGALRM)
        yield
    finally:
        signal.signal(signal.SIGALRM, holding)


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
