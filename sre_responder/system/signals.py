"""Signals that ask a process to end: Ctrl-C, `timeout` and CI, a terminal that was closed. Nobody's effect is cut off by one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Within it such a signal is only noted, by name: the run looks, and ends itself with proof."""
    names: list[str] = []
    with _handled(lambda number, _: names.append(signal.Signals(number).name)):
        yield names


@contextmanager
def raised() -> Iterator[None]:
    """Within it each of them is a KeyboardInterrupt, as Ctrl-C is: what has to be put on the record at an end is."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """What was ignored before, as under nohup, stays ignored. Only the main thread may handle signals."""
    main = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one in ENDING if main and signal.getsignal(one) is not signal.SIG_IGN}
    for one in before:
        signal.signal(one, handler)
    try:
        yield
    finally:
        for one, earlier in before.items():
            signal.signal(one, earlier)
