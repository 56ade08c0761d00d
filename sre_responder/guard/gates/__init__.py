"""The gates: one file each, found by folder, in the order of their `PLACE`, in which people read them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

from sre_responder.guard.gates.stop import stop
from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate


def _found() -> tuple[Callable[[Snapshot], Gate], ...]:
    """The function of each file that bears the file's own name."""
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)}
    return tuple(getattr(modules[name], name) for name in sorted(modules, key=lambda name: (modules[name].PLACE, name)))


GATES = _found()


def evaluate(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Every gate's verdict, so that all reasons are seen at once; a standing stop cuts short."""
    first = stop(snapshot)
    return (first,) if first.blocks else (first, *(gate(snapshot) for gate in GATES if gate is not stop))
