"""What a run came to once its processes have ended: its facts and steps from the record, its closing entry, the handover."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from sre_responder.drive.run import Ended
from sre_responder.drive.vault import encrypted, vault_of
from sre_responder.emergency import cascade, stop
from sre_responder.engine.ending import Ending, Facts, StepFact, judge
from sre_responder.engine.follower import Follower
from sre_responder.home import Home
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import Runbook
from sre_responder.incident import escalation
from sre_responder.ledger import Ledger, attempts, audit, runs
from sre_responder.record.handoff import found, handoff


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its exit code as promised, and the steps as the record has them."""

    run: str
    exit_code: int
    ending: str
    message: str
    steps: tuple[dict[str, Any], ...] = ()
    left: tuple[str, ...] = field(default=())
    interrupted: bool = False
    """A signal ended it: whoever called it begins nothing more."""

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "steps": list(self.steps), "left": list(self.left)}


@dataclass(frozen=True)
class Climb:
    """One run whose processes have ended: what the record says of it, and its closing entry."""

    home: Home
    ledger: Ledger
    runbook: Runbook
    id: str
    incident: str
    service: str
    environment: str
    requester: str
    check: bool
    signals: list[str]

    def settled(self, ended: Ended, follower: Follower) -> tuple[Facts, tuple[dict[str, Any], ...]]:
        """End what the run left open; then its facts and steps, from the record rather than from Ansible's return code."""
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            attempts.reap(connection, now)
            attempts.abandon(connection, now, self.id)
            cascade.check(connection, now, self.home, self.environment)
            if ended.reason == "stopped":  # the watch only reads
                stop.note(connection, now, stop.read_file(self.home.policy.stop.file))
        with self.ledger.transaction(reading=True) as connection:
            fresh = follower.fresh(connection)
            unknown = attempts.unknown_of_run(connection, self.id)
            undone = _undone(connection, self.incident, self.id)
        follower.tell(fresh)
        mine = [entry for entry in follower.entries if entry.data.get("run") == self.id]
        steps = [entry for entry in mine if entry.type in _RESULTS]
        came_to = {entry.data.get("step") for entry in mine}
        declared = self.runbook.steps
        judged = Facts(
            steps=tuple(_fact(entry, self.home.policy) for entry in steps),
            how=ended.reason,
            rc=ended.rc,
            check=self.check,
            unknown=unknown,
            undone=undone,
            declared=bool(declared),
            contains_only=all(self.home.policy.contains(str(step.action)) for step in declared),
            silent=tuple(str(step.action) for step in declared if step.digest not in came_to),
        )
        return judged, tuple(_step(entry, self.home.policy) for entry in steps)

    def closed(self, ended: Ended, facts: Facts, steps: tuple[dict[str, Any], ...], said: str) -> Outcome:
        """Put the ending on the record, hand over what a person must take, and tell them; `said`: Ansible's last error."""
        ending = judge(facts)
        message, left = _message(ending, facts, steps, ended), tuple(f"{p.pid} {p.command}" for p in ended.left)
        if ended.reason == "interrupted":
            message += f" ({', '.join(dict.fromkeys(self.signals))}); {self._next()}"
        if ending in (Ending.FAILED, Ending.CUT_SHORT):
            message += f": {said}" if said and said not in message else ""
        if ending in (Ending.EXHAUSTED, Ending.INAPPLICABLE, Ending.HANDED_OVER):
            message += self._found()
        if ending is Ending.FAILED:
            message += f"{self._vaulted()}; see {self.home.state / 'runs' / self.id}"
        if left:
            message += f"; still running: {', '.join(left)}"
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            cascaded = ending.exit_code == 4 and cascade.standing(connection, self.environment)
            if (ending.exit_code not in (0, 3, 4) or cascaded) and not self._handed_over(connection):
                audit.append(
                    connection, now, "handoff.made", self.requester, f"handed over: {message}", incident=self.incident,
                    notify="on_call", handoff=handoff(connection, self.home, self.incident).as_dict(),
                )  # fmt: skip
            if not self.check:
                escalation.catch_up(connection, now, self.home, self.incident)
            runs.end(
                connection, now, self.id, ending.word, self.requester, f"{self.runbook.metadata.id}: {message}",
                exit_code=ending.exit_code, seconds=round(ended.seconds, 1),
                ended=[f"{p.pid} {p.command}" for p in ended.ended], left=list(left),
            )  # fmt: skip
        return Outcome(self.id, ending.exit_code, ending.word, message, steps, left)

    def _found(self) -> str:
        """What keeps the service unhealthy, as far as this run has found it."""
        with self.ledger.transaction(reading=True) as connection:
            mine = [
                one
                for one in audit.entries(connection, incident=self.incident)
                if one.data.get("run") in (self.id, None)
            ]
        return f". Found: {'; '.join(why)}" if (why := found(mine)) else ""

    def _next(self) -> str:
        """What a person types after a run that was interrupted."""
        confirm = " --confirm-production" if self.environment == "production" else ""
        return (
            f"look with `responder status` and `responder timeline {self.incident}`, then run it again: responder run"
            f" {self.runbook.metadata.id} --incident {self.incident} --service {self.service} --environment {self.environment}{confirm}"
        )

    def _vaulted(self) -> str:
        """What of the inventory nobody could read in this run."""
        if self.home.vault_password_file or vault_of(os.environ):
            return ""
        found = encrypted(self.home.inventory)
        cure = "set ansible.vault_password_file in policy.yml"
        return f"; {found} is encrypted with ansible-vault, and no password was given: {cure}" if found else ""

    def _handed_over(self, connection: Connection) -> bool:
        """Whether the runbook's own last step called a person: nobody is called twice for one run."""
        handed = audit.entries(connection, incident=self.incident, type="handoff.made")
        return any(entry.data.get("run") == self.id for entry in handed)


def _message(ending: Ending, facts: Facts, steps: tuple[dict[str, Any], ...], ended: Ended) -> str:
    """The sentence of an ending with what only this run knows."""
    if ending is Ending.REFUSED:
        return str(next(step for step in reversed(steps) if step["result"] in ("refused", "not_done"))["summary"])
    if ending is Ending.FAILED and steps and steps[-1]["result"] == "not_improved":
        return f"{ending.sentence} with {ended.rc} after: {steps[-1]['summary']}"
    detail = {
        Ending.FAILED: f" with {ended.rc}",
        Ending.UNWRITABLE: f": {ended.unwritable}",
        Ending.CUT_SHORT: f": {', '.join(sorted(set(facts.silent)))}",
        Ending.STOPPED: "; the outcome of its last action is not known, see `responder status`"
        if facts.unknown
        else "",
    }
    return ending.sentence + detail.get(ending, "")


def _undone(connection: Connection, incident: str, run: str) -> bool | None:
    """Whether what the run itself wanted to undo is undone; None where it wanted that of nothing."""
    wanted = audit.entries(connection, incident=incident, type="undo.started")
    begun = [entry.data["attempt"] for entry in wanted if entry.data["run"] == run]
    rows = [row for attempt in begun for row in attempts.effects_of(connection, attempt) if row.state != "not_done"]
    return all(row.undone_at is not None for row in rows) if begun else None


_RESULTS = {"action.ended": "outcome", "action.skipped": "reason", "gate.blocked": "result"}
"""Entries that end a step, and where each says how; what a gate blocked is refused."""


def _result(entry: audit.Entry) -> str:
    return str(entry.data.get(_RESULTS[entry.type], "refused"))


def _fact(entry: audit.Entry, policy: Policy) -> StepFact:
    """One step of the ladder as the ending is judged by it."""
    data, action = entry.data, str(entry.data.get("action", ""))
    return StepFact(
        action=action,
        result=_result(entry),
        contains=policy.contains(action),
        measured=data.get("measured"),
        already=bool(data.get("already")),
        stopped=bool(data.get("stopped")),
    )


def _step(entry: audit.Entry, policy: Policy) -> dict[str, Any]:
    """One step of the ladder as a result names it."""
    data, action = entry.data, str(entry.data.get("action", ""))
    spec = policy.action(action)
    return {
        "action": action,
        "target": data.get("target"),
        "rung": spec.rung if spec else None,
        "result": _result(entry),
        "plan": data.get("plan"),
        "gates": [gate["name"] for gate in data.get("gates", [])],
        "waits": bool(data.get("gates")) and all(gate.get("clears_by_approval") for gate in data["gates"]),
        "stopped": bool(data.get("stopped")),
        "summary": entry.summary,
    }
