"""The gates: one file each, found by folder, in the order of their `PLACE`, in which people read them."""

from __future__ import annotations

from collections.abc import Callable

from sre_responder.guard.gates.stop import stop
from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate
from sre_responder.registry import modules


def _found() -> tuple[Callable[[Snapshot], Gate], ...]:
    """The function of each file that bears the file's own name."""
    files = modules(__name__, __path__)
    return tuple(getattr(files[name], name) for name in sorted(files, key=lambda name: (files[name].PLACE, name)))


GATES = _found()


def evaluate(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Every gate's verdict, so that all reasons are seen at once; a standing stop cuts short."""
    first = stop(snapshot)
    return (first,) if first.blocks else (first, *(gate(snapshot) for gate in GATES if gate is not stop))
