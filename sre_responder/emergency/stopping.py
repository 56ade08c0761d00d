"""Raising an emergency stop, ending what it covers, and saying so only after proof (spec section 3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from sre_responder.drive.prove import Proof, descendants, described, end, end_tree, processes_of
from sre_responder.emergency import cluster_stop, stop
from sre_responder.ledger import Ledger, attempts, runs
from sre_responder.ledger.runs import MACHINE, alive
from sre_responder.names import shown
from sre_responder.policy import Cluster

DRIVER_SECONDS = 3.0
"""How long a driver that lives may take to end its own run before it is ended from here."""


@dataclass(frozen=True)
class Stopping:
    """What one stop did: its name, what was ended, and what was not."""

    stop: str
    ended: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float


def halt(
    ledger: Ledger, who: str, reason: str, *, environment: str | None, service: str | None, clusters: Sequence[Cluster] = ()
) -> Stopping:  # fmt: skip
    """Raise a stop, end every run that it covers, and let the clusters deny meanwhile. What cannot be ended, or not proven, is named."""
    began = time.monotonic()
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        name = stop.raise_(connection, now, who, reason, environment=environment, service=service)
        standing = runs.standing(connection)
    words = cluster_stop.reason_of(name, shown(who, 64), shown(reason, stop.REASON_LIMIT))
    denying = cluster_stop.setting(cluster_stop.covered(clusters, environment, service), words)
    covered = [r for r in standing if environment in (None, r.environment) and service in (None, r.service)]
    ended: list[str] = []
    left: list[str] = []
    for row in covered:
        killed = row.driven and alive(row.machine, row.pid, row.pid_started) is False
        proof = _end(row)
        if proof is None:
            left.append(f"run {row.id} on {row.machine} (pid {row.pid}): not on this machine, not proven")
            continue
        ended += [f"run {row.id}", *(f"pid {p.pid} {p.command}" for p in proof.ended)]
        left += [f"pid {p.pid} {p.command}" for p in proof.left]
        if killed:
            left.append(f"run {row.id}: its driver (pid {row.pid}) was killed before; what bears no mark is not found")
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            runs.end(connection, now, row.id, "stopped", who, f"run {row.id} ended by {name}", ended=ended, left=left)
            attempts.reap(connection, now)
    told = denying()
    cluster_stop.record(ledger, who, name, told)
    ended += told["done"]
    left += told["left"]
    return Stopping(name, tuple(ended), tuple(left), round(time.monotonic() - began, 2))


def _end(row: Row[Any]) -> Proof | None:
    """End one run on this machine; a driver that lives is given a moment to do it itself. None: on another machine."""
    if row.machine != MACHINE:
        return None
    if not row.driven:
        return end_tree(row.pid, row.pid_started)
    seen = processes_of(row.id)
    until = time.monotonic() + DRIVER_SECONDS
    while processes_of(row.id) and alive(row.machine, row.pid, row.pid_started) and time.monotonic() < until:
        time.sleep(0.05)
    proof = end(row.id)
    # A driver that did not end its run itself may have adopted what bears no mark: it is named, with the driver.
    frozen = [row.pid, *(p.pid for p in descendants(row.pid))] if alive(row.machine, row.pid, row.pid_started) else []
    left = tuple(info for pid in frozen if time.monotonic() > until and (info := described(pid)))
    return Proof(tuple({*seen, *proof.ended}), (*proof.left, *left))
