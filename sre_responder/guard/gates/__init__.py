"""The gates: one file each, found by folder, in the order of their `PLACE`, in which people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

from sre_responder.errors import InputError
from sre_responder.extensions import extensions
from sre_responder.guard.gates.stop import stop
from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate, Status
from sre_responder.model.names import shown
from sre_responder.model.plan import canonical
from sre_responder.registry import modules


def _found() -> tuple[Callable[[Snapshot], Gate], ...]:
    """The function of each file that bears the file's own name."""
    files = modules(__name__, __path__)
    return tuple(getattr(files[name], name) for name in sorted(files, key=lambda name: (files[name].PLACE, name)))


GATES = _found()


def evaluate(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Every gate's verdict, so that all reasons are seen at once; a standing stop cuts short."""
    first = stop(snapshot)
    if first.blocks:
        return (first,)
    return (first, *(gate(snapshot) for gate in GATES if gate is not stop), *_others(snapshot))


def _others(snapshot: Snapshot) -> Iterator[Gate]:
    """What the gates of other distributions say: a pass adds nothing, and what is wrong with one of them refuses."""
    try:
        found = extensions("gates", snapshot.policy.extensions)
    except InputError as error:
        yield Gate("extensions", "unknown", error.message, clears_by="an operator", command=error.cure)
        return
    for one in found:
        name = f"{one.distribution}:{one.name}"
        try:
            said = one.value(snapshot)
            canonical(said.as_dict())
            unsound = not isinstance(said, Gate) or said.status not in get_args(Status)
            yield (
                Gate(name, "unknown", "it gave no verdict")
                if unsound
                else replace(said, name=name, spends_approval=False, clears_by_approval=False)
            )
        except Exception as error:  # whatever another's code does
            yield Gate(name, "unknown", f"it failed: {type(error).__name__}: {shown(error)}", clears_by="an operator")
