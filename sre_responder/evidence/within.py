"""One deadline for what has none of its own, such as a name server, or has one that begins anew at each byte."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from sre_responder.model.look import NotMeasured

T = TypeVar("T")


def within(seconds: float, what: str, work: Callable[[], T]) -> T:
    """What the work returns or raises. NotMeasured if it takes longer; then it goes on by itself, and keeps nothing alive."""
    returned: list[T] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(work())
        except Exception as error:  # it belongs to who asked
            raised.append(error)

    working = threading.Thread(target=run, daemon=True)
    working.start()
    working.join(seconds)
    if raised:
        raise raised[0]
    if not returned:
        raise NotMeasured(f"{what} took longer than {seconds:g} s")
    return returned[0]
