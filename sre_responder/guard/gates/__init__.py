"""The thirteen gates in the order in which people read them; a new gate is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from sre_responder.guard.gates.approval import approval
from sre_responder.guard.gates.budget import budget
from sre_responder.guard.gates.containment import containment
from sre_responder.guard.gates.inputs import inputs
from sre_responder.guard.gates.loop import loop
from sre_responder.guard.gates.progression import progression
from sre_responder.guard.gates.radius import radius
from sre_responder.guard.gates.rollback import rollback
from sre_responder.guard.gates.runbook import runbook
from sre_responder.guard.gates.stop import stop
from sre_responder.guard.gates.target import target
from sre_responder.guard.gates.tested import tested
from sre_responder.guard.gates.ticket import ticket
from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

GATES: tuple[Callable[[Snapshot], Gate], ...] = (
    stop, inputs, ticket, runbook, loop, budget, approval, tested, containment, radius, progression, rollback, target,
)  # fmt: skip


def evaluate(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Every gate's verdict, so that all reasons are seen at once; a standing stop cuts short."""
    first = stop(snapshot)
    return (first,) if first.blocks else (first, *(gate(snapshot) for gate in GATES[1:]))
