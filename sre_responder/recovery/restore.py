"""Undo as a guarded step: the state before an attempt is restored through the same door, by the capsule written before it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from sre_responder import undo
from sre_responder.approvals import approval
from sre_responder.drive.environment import inherited
from sre_responder.drive.environment import secrets as secrets_of
from sre_responder.drive.prepare import prepare
from sre_responder.drive.run import run
from sre_responder.drive.words import last_error
from sre_responder.effects import Change, Propagation, leads_to, restored
from sre_responder.emergency import cluster_stop
from sre_responder.engine.step import Step, perform
from sre_responder.engine.step.plan import misnamed
from sre_responder.engine.watch import Watch
from sre_responder.errors import EffectFailed, InputError, Refused, ResponderError, StateMoved
from sre_responder.home import Home
from sre_responder.home.annotations import hosts_of
from sre_responder.home.catalogue import one_spelling
from sre_responder.home.runbook import PLAYBOOK
from sre_responder.ledger import Ledger, attempts, audit, foreseen, plans, runs
from sre_responder.model.actions import UNDO
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request
from sre_responder.recovery import probe


def restore(home: Home, ledger: Ledger, attempt: int, *, confirm_production: bool) -> list[str]:
    """Restore the state before an attempt on every host that it changed; gives the targets.

    Raises as a guarded step does: Refused with the command that approves, Stopped, StateMoved, EffectFailed, OutcomeUnknown.
    """
    if not (record := audit.verify(ledger)).ok:
        raise Refused(
            f"the record is broken at entry {record.broken_at}, so nobody can tell what attempt {attempt} did; nothing was changed.",
            cure="See `responder audit verify`. Undo by hand what is plain, then: responder undo NUMBER --verified",
        )
    requester, id = approval.requester(home.people), f"undo-{secrets.token_hex(6)}"
    with ledger.transaction() as connection:
        rows = _to_undo(connection, attempt)
        made = attempts.get(connection, attempt)
        found = [(row, plans.of(plans.find(connection, row.plan))) for row in rows]
        runs.begin(
            connection, ledger.now(connection), id, driven=True, requester=requester, incident=made.incident,
            runbook=UNDO.name, service=made.service, environment=made.environment,
        )  # fmt: skip
    ending = "failed"
    try:
        for row, plan in found:
            request = Request(
                action=UNDO.name, incident=made.incident, service=made.service, environment=made.environment,
                confirm_production=confirm_production, run=id, task=f"effect-{row.id}", step="", host=row.host,
                hosts=(row.host,), requester=requester, undoes=attempt,
            )  # fmt: skip
            capsule = _Capsule(home, ledger, id, row, plan)
            perform(Step(home, ledger, request, {"attempt": attempt, "plan": plan.digest}, None, capsule))
            _undone(ledger, row, plan, requester, made.incident)
        ending = "finished"
    finally:
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            attempts.abandon(connection, now, id)
            runs.end(connection, now, id, ending, requester, f"undo of attempt {attempt} {ending}")
        cluster_stop.catch_up(ledger, home.policy.stop)
    return [plan.target for _, plan in found]


def undone_by_hand(home: Home, ledger: Ledger, attempt: int) -> list[str]:
    """Take a person's word that what an attempt did is undone, or is gone with its target; gives the targets. Nothing is changed."""
    who = approval.requester(home.people)
    with ledger.transaction() as connection:
        rows = _to_undo(connection, attempt)
        now, incident = ledger.now(connection), attempts.get(connection, attempt).incident
        for row in rows:
            attempts.undone(connection, now, attempt, row.target)
            audit.append(
                connection, now, "undo.by_hand", who, f"{who} checked it and says that attempt {attempt} on {row.target} is undone",
                incident=incident, attempt=attempt, target=row.target,
            )  # fmt: skip
    return [row.target for row in rows]


def _to_undo(connection: Connection, attempt: int) -> list[Row[Any]]:
    """What an attempt did, or may have done, and nobody has undone."""
    rows = [row for row in attempts.effects_of(connection, attempt) if row.undone_at is None]
    rows = [row for row in rows if row.state in ("done", "unknown", "failed")]
    if not rows:
        raise InputError(f"attempt {attempt} has nothing to undo.", cure="See `responder incident show INC`.")
    return rows


def end_due(home: Home, ledger: Ledger, *, but: Collection[str] = ()) -> tuple[list[str], list[ResponderError]]:
    """Undo what was contained for a time that is over, but that of the services `but`; gives the targets, and why others stay."""
    with ledger.transaction(reading=True) as connection:
        over = foreseen.due(connection, ledger.now(connection))
        chosen = [attempt for attempt in over if attempts.get(connection, attempt).service not in but]
    ended: list[str] = []
    left: list[ResponderError] = []
    for attempt in chosen:
        try:  # who approved it confirmed production for its end too
            ended += restore(home, ledger, attempt, confirm_production=True)
        except ResponderError as error:
            left.append(error)
    return ended, left


class _Capsule:
    """The undo playbook of one effect, as an effect itself."""

    def __init__(self, home: Home, ledger: Ledger, run: str, row: Row[Any], plan: Plan) -> None:
        self.home, self.ledger, self.run, self.row, self.undone = home, ledger, run, row, plan

    def plan(self) -> Change:
        if not self.undone.undo:
            raise InputError(f"{self.undone.action} cannot be undone: {self.undone.undo_note}")
        if wrong := self._misnamed():
            raise Refused(f"{wrong}.", cure=f"Undo it by hand, then: responder undo {self.row.attempt} --verified")
        now = probe.state(self.home, self.undone, self.row.host)
        back = now if restored(self.undone, now) else self.undone.before
        if back != now and (gone := probe.gone(self.home, self.undone, self.row.host)):
            raise Refused(f"{gone} is gone, so the state before attempt {self.row.attempt} cannot be restored.")
        overwrites = self._overwrites(now, back)
        if overwrites and (later := self._later()):
            raise Refused(
                f"attempt {later} has changed {self.undone.target} since attempt {self.row.attempt}, and is not undone.",
                cure=f"Undo that first: responder undo {later}",
            )
        return Change(
            target=self.undone.target, before=now, after=back, undo_note="Run the runbook again for the step itself.",
            diff={"before": f"{now}\n", "after": f"{back}\n"}, overwrites=overwrites,
        )  # fmt: skip

    def _later(self) -> int | None:
        """The last attempt of ours that changed the target after this one, could be undone and was not."""
        with self.ledger.transaction(reading=True) as connection:
            rows = attempts.changes_of(connection, self.undone.target)
            later = [row.attempt for row in rows if row.id > self.row.id and plans.undoable(connection, row.plan)]
        return max(later, default=None)

    def _overwrites(self, now: dict[str, Any], back: dict[str, Any]) -> str:
        """What was done after the attempt, if it was done: where the attempt itself is not certain, its target is frozen."""
        if back == now or self.row.state != "done" or probe.became(self.undone, now) == "done":
            return ""
        left = self.undone.after
        return f"somebody has changed {self.undone.target} since attempt {self.row.attempt} left it: it was {left}, now it is {now}"

    def _misnamed(self) -> str | None:
        """Whose the target is by now: the catalogue may say another word of it than when it was changed."""
        plan, spec = self.undone, self.home.policy.action(self.undone.action)
        if spec is None:
            return f"{plan.action} is not allowed any more, by this version or by perform in policy.yml"
        self.home.catalogue.environment(plan.service, plan.environment)
        change = Change(plan.target, plan.before, plan.after, evidence=plan.evidence)
        return misnamed(self.home, plan, spec, plan.arguments, partial(self.same, change))

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        """What lies on a host is known by its path and the host's name, without asking it."""
        plan, spec = self.undone, self.home.policy.action(self.undone.action)
        if spec is None or not spec.on_host:
            return leads_to(plan.action, plan.arguments, change, way)
        hosts, keys = hosts_of(way), {option: spec.annotations[option] for option in spec.locates}
        here = self.row.host in hosts if hosts else bool(keys)
        return here and all(
            one_spelling(way.get(key)) == one_spelling(plan.arguments.get(option)) for option, key in keys.items()
        )

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return Propagation(True, "its playbook ended, and the state was read back")

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        if probe.state(self.home, self.undone, self.row.host) != change.before:
            raise StateMoved(
                f"{self.undone.target} has changed since it was planned.", cure="Run the undo again to make a new plan."
            )
        with tempfile.TemporaryDirectory(prefix="sre-undo-") as folder:
            with self.ledger.transaction(reading=True) as connection:
                text = self._vouched(connection, plans.find(connection, self.undone.digest).undo)
            (Path(folder) / PLAYBOOK).write_text(text, encoding="utf-8")
            here = self.home.state / "runs" / self.run / str(self.row.id)
            given = inherited(os.environ, self.home)
            prepared = prepare(self.run, Path(folder), here, {}, self.home.inventory, given)
            watch = Watch(self.home, self.ledger, self.run, self.undone.environment, self.undone.service)
            ended = run(
                prepared, watch=watch, on_event=lambda _: None, deadline_s=self.home.policy.rollbacks.deadline_seconds
            )
        if ended.reason != "finished" or ended.rc != 0:
            output = here / "artifacts" / "run" / "stdout"
            raise EffectFailed(
                f"the undo playbook ended with {ended.rc} ({ended.reason}): {last_error(output, secrets_of(given, self.home.connections.variables))}.",
                cure=f"Read {output}.",
            )
        now = probe.state(self.home, self.undone, self.row.host)
        if not restored(self.undone, now):
            raise EffectFailed(f"{self.undone.target} reads {now} after its undo, not {change.after}.")
        return now

    def _vouched(self, connection: Connection, text: str) -> str:
        """The capsule, if it is the one whose digest stands in the chained entry of the act."""
        entries = audit.entries(connection, incident=self.undone.incident, type="action.started")
        mine = [
            e.data.get("undo")
            for e in entries
            if (e.data["attempt"], e.data["plan"]) == (self.row.attempt, self.undone.digest)
        ]
        if undo.digest(text) not in mine:
            raise Refused(
                f"the undo of attempt {self.row.attempt} in the ledger is not the one that was written before the act; it was not run.",
                cure="See `responder audit verify`, and undo by hand what the plan shows.",
            )
        return text


def _undone(ledger: Ledger, row: Row[Any], plan: Plan, requester: str, incident: str) -> None:
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.undone(connection, now, row.attempt, row.target)
        audit.append(
            connection, now, "undo.done", requester, f"{plan.action} on {plan.target} undone", incident=incident,
            attempt=row.attempt, target=plan.target,
        )  # fmt: skip
