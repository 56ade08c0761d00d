"""How much is tried of what never ends: histories, rounds, examples. A little each time, the whole under `scripts/test --all`."""

from __future__ import annotations

import os


def of(little: int, whole: int) -> int:
    return whole if os.environ.get("RESPONDER_TEST_ALL") else little
