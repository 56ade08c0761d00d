"""A deadline inside this process: when it passes, whatever runs is interrupted, also a call that would catch exceptions."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class DeadlinePassed(BaseException):
    """Not an Exception: what runs must not take it for one of its own errors and go on."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise DeadlinePassed in the block after `seconds`; None is no deadline. Main thread only, as signals are.

    An alarm that was set before (a task's own timeout) goes on afterwards with what is left of it.
    """
    if seconds is None:
        yield
        return

    def passed(_number: int, _frame: FrameType | None) -> None:
        raise DeadlinePassed(f"not done within {seconds:g} s")

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, passed)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)))
