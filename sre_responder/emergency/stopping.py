"""Raising an emergency stop, ending what it covers, and saying so only after proof (spec section 3)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from sre_responder.emergency import cluster_stop, stop
from sre_responder.errors import LedgerUnavailable
from sre_responder.home.policy import Stop
from sre_responder.ledger import Ledger, attempts, audit, runs
from sre_responder.model.names import shown
from sre_responder.system.prove import (
    ProcessInfo,
    Proof,
    descendants,
    described,
    end,
    end_trees,
    is_play,
    processes_of,
    runs_seen,
)

DRIVER_SECONDS = 3.0
"""How long a driver that lives may take to end its own run before it is ended from here."""
ELSEWHERE_SECONDS = 5.0
"""How long the drivers of other machines may take to end their runs with proof, and to say so in the ledger."""
BUSY_SECONDS = 0.5
"""How long a ledger that is locked may hold back a stop before the stop goes by its file."""
RECORD_SECONDS = 2.0
RUNS = ("run-", "ansible-", "undo-")
"""How a run's name begins. A lab bears a mark of the same kind, and a stop of what is changed ends no service."""
DYING_SECONDS = 1.0
"""How long a process that was killed may take to go: it has lost its mark a moment before."""


@dataclass(frozen=True)
class Stopping:
    """What one stop did: its name, what was ended, and what was not."""

    stop: str
    ended: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Scope:
    """What a stop covers, and how its ledger is named."""

    environment: str | None
    service: str | None
    url: str

    def covers(self, row: Row[Any]) -> bool:
        return self.environment in (None, row.environment) and self.service in (None, row.service)


def halt(
    ledger: Ledger, who: str, reason: str, *, environment: str | None, service: str | None, limits: Stop
) -> Stopping:
    """Raise a stop, end every run that it covers, and let the clusters deny meanwhile. What cannot be ended, or not proven, is named.

    A ledger that cannot be used does not hold it back: the stop file is written and what runs here is ended, then the ledger is
    tried once more.
    """
    began = time.monotonic()
    scope, quick = _Scope(environment, service, ledger.url), ledger.hurried(BUSY_SECONDS)
    ended, left = list[str](), list[str]()
    name, written = "", False

    def raise_(through: Ledger) -> str:
        with through.transaction() as connection:
            now = through.now(connection)
            return stop.raise_(connection, now, who, reason, environment=environment, service=service)

    try:
        name = raise_(quick)
    except LedgerUnavailable:
        written = _by_file(limits.file, reason, left)
    words = cluster_stop.reason_of(name or "the stop file", shown(who, 64), shown(reason, stop.REASON_LIMIT))
    denying = cluster_stop.setting(cluster_stop.covered(limits.clusters, environment, service), words)
    found = _found(quick, scope, left)
    elsewhere = [run for run in found if not run.here]
    over = [run for run in found if run.here and _ended(run, ended, left)]
    for mark in _unrecorded(quick, scope, [run.id for run in found]):
        proof = end(mark)
        ended += _said(proof.ended)
        left += _said(proof.left)
    if not name:
        slow = ledger.hurried(RECORD_SECONDS)
        try:
            name = raise_(slow)
            if written:  # the ledger holds the stop now, with its own scope
                limits.file.unlink(missing_ok=True)
        except LedgerUnavailable as error:
            left.append(
                f"the ledger: {error.message} The stop is not in it, so other machines do not see it. Type it again:"
                " responder stop REASON"
            )
    if name:
        _recorded(ledger, who, name, over, elsewhere, ended, left)
    else:
        left += [f"{run}: not visible from here, not proven" for run in elsewhere]
    told = denying()
    if name:
        try:
            cluster_stop.record(ledger, who, name, told)
        except LedgerUnavailable as error:
            left.append(f"the ledger: {error.message} What became of the clusters is not on the record.")
    return Stopping(
        name or f"The stop file {limits.file}", tuple(dict.fromkeys([*ended, *told["done"]])),
        tuple(dict.fromkeys([*left, *told["left"]])), round(time.monotonic() - began, 2),
    )  # fmt: skip


def _by_file(file: Path, reason: str, left: list[str]) -> bool:
    """Write the stop file; whether it was written now. It covers everything on this machine, whatever the stop's scope."""
    try:
        return stop.write_file(file, reason)
    except OSError as error:
        if stop.read_file(file).state == "clear":
            left.append(f"the stop file {file} cannot be written: {error.strerror}")
        return False


@dataclass(frozen=True)
class _Run:
    """A run that may live, and the processes of this machine that hold a target for it."""

    row: Row[Any]
    holders: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        return str(self.row.id)

    @property
    def lives(self) -> bool | None:
        """Whether the process that was recorded for it lives: its driver, or its ansible-playbook."""
        return runs.alive(self.row.machine, self.row.pid, self.row.pid_started, self.row.space)

    @property
    def here(self) -> bool:
        """Whether what becomes of it can be proven here: it is on this machine, or this machine was started again since."""
        return runs.here(self.row) or self.lives is False

    def __str__(self) -> str:
        return f"run {self.id} on {self.row.machine} (pid {self.row.pid})"


def _found(ledger: Ledger, scope: _Scope, left: list[str]) -> list[_Run]:
    """The runs that may live: those without an end, and whatever the record says, those that bear a mark or hold a target."""
    seen = runs_seen()
    try:
        with ledger.transaction(reading=True) as connection:
            ids = {*seen, *(row.run for row in attempts.held(connection))}
            known = [row for id in sorted(ids) if (row := runs.get(connection, id))]
            rows = {row.id: row for row in [*runs.standing(connection), *known] if scope.covers(row)}
            return [_Run(row, _holders(connection, row.id)) for row in rows.values()]
    except LedgerUnavailable:
        left.append("runs elsewhere: the ledger cannot be read, so they are not known")
        return []


def _holders(connection: Connection, id: str) -> tuple[int, ...]:
    return tuple(one["pid"] for one in runs.holders(connection, id) if runs.alive(**one))


def _unrecorded(ledger: Ledger, scope: _Scope, done: Collection[str]) -> list[str]:
    """The runs of this ledger that are seen on this machine, and of which it cannot say that they are not meant."""
    seen = runs_seen().items()
    mine = {run for run, url in seen if url == scope.url and run.startswith(RUNS)}.difference(done)
    try:
        with ledger.transaction(reading=True) as connection:
            return sorted(run for run in mine if runs.get(connection, run) is None)
    except LedgerUnavailable:
        return sorted(mine)


def _ended(run: _Run, ended: list[str], left: list[str]) -> bool:
    """End a run of this machine, and say what was ended and what is left; whether nothing of it is."""
    killed = run.row.driven and runs.here(run.row) and run.lives is False and run.row.ended_at is None
    proof = (_end_driven if run.row.driven else _end_play)(run)
    if run.row.ended_at is None or proof.ended:
        ended += [f"run {run.id}", *_said(proof.ended)]
    left += _said(proof.left)
    if killed:
        left.append(f"run {run.id}: its driver (pid {run.row.pid}) was killed before; what bears no mark is not found")
    return not proof.left


def _end_play(run: _Run) -> Proof:
    """End a plain ansible-playbook, its workers that hold a target, and what they started."""
    roots = {*run.holders, *([run.row.pid] if run.lives else [])}
    plays = {pid for pid in roots if is_play(pid)}
    proof = end_trees(run.id, plays)
    return Proof(proof.ended, (*proof.left, *filter(None, map(described, roots - plays))))


def _end_driven(run: _Run) -> Proof:
    """End what bears the mark of a driven run; a driver that lives is given a moment to do it itself."""
    seen = processes_of(run.id)
    until = time.monotonic() + DRIVER_SECONDS

    def at_work() -> bool:
        below = descendants(run.row.pid) if run.lives else []
        return bool(processes_of(run.id) or below or any(map(described, run.holders)))

    while run.lives and at_work() and time.monotonic() < until:
        time.sleep(0.05)
    proof = end(run.id)
    # A driver that did not end its run itself may have adopted what bears no mark: it is named, with the driver.
    late = run.lives and time.monotonic() > until
    dying = time.monotonic() + DYING_SECONDS
    while any(map(described, run.holders)) and time.monotonic() < dying:
        time.sleep(0.02)
    frozen = {*run.holders, *([run.row.pid, *(p.pid for p in descendants(run.row.pid))] if late else [])}
    left = [info for info in map(described, sorted(frozen)) if info and info not in proof.left]
    return Proof(tuple({*seen, *proof.ended}), (*proof.left, *left))


def _recorded(  # noqa: PLR0913 - each is a column of one row
    ledger: Ledger, who: str, name: str, over: Sequence[_Run], elsewhere: Sequence[_Run], ended: list[str], left: list[str]
) -> None:  # fmt: skip
    """Put the ends of runs on the record, and wait for those that the drivers of other machines put there."""
    try:
        for run in over:
            with ledger.transaction() as connection:
                now = ledger.now(connection)
                runs.end(
                    connection, now, run.id, "stopped", who, f"run {run.id} ended by {name}", ended=ended, left=left
                )
                attempts.reap(connection, now)
        waiting, until = {run.id: run for run in elsewhere}, time.monotonic() + ELSEWHERE_SECONDS
        while any(run.row.driven and run.row.ended_at is None for run in waiting.values()):
            with ledger.transaction(reading=True) as connection:
                for run in [*waiting.values()]:
                    if (remains := _acknowledged(connection, run)) is not None:
                        del waiting[run.id]
                        ended += [] if remains else [f"{run}: its driver proved it"]
                        left += [f"{run}: {one}" for one in remains]
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        left += [f"{run}: not visible from here, not proven" for run in waiting.values()]
    except LedgerUnavailable as error:
        left.append(f"the ledger: {error.message} What was ended is not on the record. Then: responder status")
        left += [f"{run}: not visible from here, not proven" for run in elsewhere]


def _acknowledged(connection: Connection, run: _Run) -> list[str] | None:
    """What the driver of another machine says is left of its run; None until it says that it has ended it."""
    row = runs.get(connection, run.id)
    if row is None or not row.driven or row.ended_at is None or run.row.ended_at is not None:
        return None
    for entry in audit.entries(connection, incident=row.incident, type=f"run.{row.ending}"):
        if entry.data.get("run") == run.id:
            return list(entry.data.get("left", ()))
    return None


def _said(processes: Iterable[ProcessInfo]) -> list[str]:
    return [f"pid {process.pid} {process.command}" for process in processes]
