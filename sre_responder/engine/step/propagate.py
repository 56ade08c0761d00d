"""Between act and watch: waiting until what was changed has reached all that use it, so that nothing older is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sre_responder.effects import Propagation
from sre_responder.errors import ResponderError

POLL_S = 1.0


@dataclass(frozen=True)
class Reached:
    """When a change had reached all that use it, and how that is known; or that it had not by its deadline."""

    done: bool
    after_s: float
    how: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the record keeps."""
        return {"done": self.done, "after_s": round(self.after_s, 1), "how": self.how}


def reached(
    look: Callable[[float], Propagation], limit_s: float, interrupted: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Reached:  # fmt: skip
    """Look until it is done, but no longer than `limit_s`, nor once interrupted. What cannot be read is not done."""
    began = clock()
    while True:
        waited = clock() - began
        try:
            found = look(waited)
        except ResponderError as error:
            found = Propagation(False, f"it cannot be read: {error.message.rstrip('.')}")
        if found.done:
            return Reached(True, waited, found.how)
        if interrupted():
            return Reached(False, waited, f"{found.how}; an emergency stop ended the wait")
        if waited >= limit_s:
            return Reached(False, waited, found.how)
        sleep(min(POLL_S, limit_s - waited))
