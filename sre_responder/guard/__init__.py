"""The thirteen gates in the order in which people read them; a new gate is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from sre_responder.guard.approval import approval
from sre_responder.guard.budget import budget
from sre_responder.guard.containment import containment
from sre_responder.guard.inputs import inputs
from sre_responder.guard.loop import loop
from sre_responder.guard.progression import progression
from sre_responder.guard.radius import radius
from sre_responder.guard.rollback import rollback
from sre_responder.guard.runbook import runbook
from sre_responder.guard.snapshot import Gate, Snapshot
from sre_responder.guard.stop import stop
from sre_responder.guard.target import target
from sre_responder.guard.tested import tested
from sre_responder.guard.ticket import ticket

GATES: tuple[Callable[[Snapshot], Gate], ...] = (
    stop, inputs, ticket, runbook, loop, budget, approval, tested, containment, radius, progression, rollback, target,
)  # fmt: skip


def evaluate(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Every gate's verdict, so that all reasons are seen at once; a standing stop cuts short."""
    first = stop(snapshot)
    return (first,) if first.blocks else (first, *(gate(snapshot) for gate in GATES[1:]))
