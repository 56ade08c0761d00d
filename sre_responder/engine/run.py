"""Running a runbook: prepare, drive, watch stop and latch, and say what became of it."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from sre_responder.approvals import approval
from sre_responder.drive.environment import inherited
from sre_responder.drive.environment import secrets as secrets_of
from sre_responder.drive.prepare import prepare
from sre_responder.drive.run import Ended, run
from sre_responder.drive.vault import encrypted, vault_of
from sre_responder.drive.words import brief, last_error
from sre_responder.emergency import cascade, cluster_stop, stop
from sre_responder.engine.delivery import tell_soon
from sre_responder.engine.ending import Ending, Facts, StepFact, judge
from sre_responder.engine.watch import Watch
from sre_responder.errors import InputError, LedgerUnavailable, OutcomeUnknown, Refused
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger, attempts, audit, outbox, runs
from sre_responder.lint import findings
from sre_responder.model.actions import ACTIONS
from sre_responder.notify.deliver import deliver
from sre_responder.record.handoff import handoff
from sre_responder.system import signals


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


def climb(
    home: Home,
    ledger: Ledger,
    runbook: Runbook,
    *,
    incident: str,
    service: str,
    environment: str,
    confirm_production: bool = False,
    check: bool = False,
    on_entry: Callable[[audit.Entry], None] = lambda _: None,
    on_tick: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run one runbook under the driver until it is healed, refused, stopped or exhausted.

    `on_entry` is called with every new entry of the record: what is shown is what is on the record. `on_tick` is
    called several times a second while the run lives.
    """
    home.catalogue.environment(service, environment)
    if environment == "production" and not confirm_production:
        raise InputError("environment production needs an explicit confirmation.", cure="Add --confirm-production.")
    id, requester = f"run-{secrets.token_hex(6)}", approval.requester(home.people)
    if why := _unfit(runbook, check=check):
        with ledger.transaction() as connection:
            audit.append(
                connection, ledger.now(connection), "gate.blocked", requester, f"{runbook.metadata.id} refused: {why.message}",
                incident=incident, notify="incident_commander", service=service, environment=environment,
                gates=[{"name": "runbook", "status": "failed", "reason": why.message}],
            )  # fmt: skip
        raise why
    folder = home.state / "runs" / id
    environ = {**os.environ, "RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url}
    given = inherited(environ, home)  # before the run is on the record: what the caller gave may be wrong
    with signals.noted() as came:
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            attempts.reap(connection, now)
            facts = stop.standing(
                connection, now, home.policy.stop.file, environment=environment, service=service, record=True
            )
            seen = audit.last(connection)
            runs.begin(
                connection, now, id, driven=True, requester=requester, incident=incident, runbook=runbook.metadata.id, service=service,
                environment=environment, folder=str(folder), preview=check,
            )  # fmt: skip
        if facts:
            with ledger.transaction() as connection:
                runs.end(connection, ledger.now(connection), id, "stopped", requester, "an emergency stop stands")
        else:
            climbed = _Climb(home, ledger, runbook, id, incident, service, environment, requester, check, came)
            outcome = _driven(climbed, _Follower(incident, seen, on_entry), folder, given, confirm_production, on_tick)
    if facts:
        _tell(home, ledger)
        raise stop.report(incident, f"run {runbook.metadata.id}", facts, audit.iso(now))
    if came:  # who ends a run in a hurry waits for no receiver
        tell_soon(home, ledger)
    else:
        _tell(home, ledger)
    return replace(outcome, interrupted=bool(came))


def _driven(
    climbed: _Climb,
    follower: _Follower,
    folder: Path,
    given: Mapping[str, str],
    confirm_production: bool,
    on_tick: Callable[[], None],
) -> Outcome:
    """Prepare the run that is on the record, drive it, and put its end there."""
    home, ledger, id, check, came = climbed.home, climbed.ledger, climbed.id, climbed.check, climbed.signals
    prepared = prepare(
        id, climbed.runbook.folder, folder,
        {
            "incident": climbed.incident, "service": climbed.service, "target": climbed.environment,
            "confirm_production": confirm_production,
        },
        home.inventory, given, check=check,
    )  # fmt: skip
    watch = Watch(home, ledger, id, climbed.environment, climbed.service)

    def watch_and_tell() -> str | None:
        with ledger.transaction(reading=True) as connection:
            word, fresh = watch.look(connection), follower.fresh(connection)
        word = word or ("interrupted" if came else None)
        follower.tell(fresh)
        on_tick()
        return word

    words, hidden = list[str](), secrets_of(given)

    def keep(event: dict[str, Any]) -> None:
        if event.get("event") in ("runner_on_failed", "runner_on_unreachable"):
            words.append(brief(str(event.get("event_data", {}).get("res", {}).get("msg", "")), hidden))

    try:
        with ledger.kept_open():
            seconds = home.policy.run_deadline_minutes * 60
            ended = run(prepared, watch=watch_and_tell, on_event=keep, deadline_s=seconds)
        judged, steps = climbed.settled(ended, follower)
        output = folder / "artifacts" / "run" / "stdout"
        said = next(reversed(words), "") or last_error(output, hidden, failed=ended.rc != 0)
        for copy, original in (("inventory/", f"{home.folder}/"), ("project", f"{climbed.runbook.folder}")):
            said = said.replace(f"{folder}/{copy}", original)
        return climbed.closed(ended, judged, steps, said)
    except LedgerUnavailable as error:
        if check:
            raise
        said = f" Its last words: {words[-1]}" if words else ""
        raise OutcomeUnknown(
            f"{error.message} The run was ended, and how it ended is not on the record.{said}",
            cure="Look at the target; once the ledger can be used: responder status",
        ) from error


def _unfit(runbook: Runbook, *, check: bool) -> Refused | None:
    """Why no task of this runbook may run, guarded or not: a preview may be of one that is not registered yet."""
    name = runbook.metadata.id
    if not check and not runbook.registered:
        return Refused(
            f"runbook {name} is not registered with digest {runbook.digest[:12]}; no task of it was run.",
            cure=f"Review it, then: responder runbooks register {name}",
        )
    if found := [one for one in findings(runbook.folder) if one.level == "error"]:
        lines = "; ".join(f"{one.file}:{one.line}: {one.message}" for one in found[:5])
        return Refused(
            f"runbook {name} weakens the guard; no task of it was run: {lines}.",
            cure=f"responder lint {shlex.quote(str(runbook.folder))}",
        )
    return None


class _Follower:
    """New entries of an incident's record, each told once, when no transaction waits for who reads them."""

    def __init__(self, incident: str, after: int, on_entry: Callable[[audit.Entry], None]) -> None:
        self.incident, self.after, self.on_entry = incident, after, on_entry
        self.entries: list[audit.Entry] = []

    def fresh(self, connection: Connection) -> list[audit.Entry]:
        return list(audit.entries(connection, incident=self.incident, after=self.after))

    def tell(self, fresh: Sequence[audit.Entry]) -> None:
        for entry in fresh:
            self.after = entry.id
            self.entries.append(entry)
            self.on_entry(entry)


@dataclass(frozen=True)
class _Climb:
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

    def settled(self, ended: Ended, follower: _Follower) -> tuple[Facts, tuple[dict[str, Any], ...]]:
        """End what the run left open; then its facts and steps, from the record rather than from Ansible's return code."""
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            attempts.reap(connection, now)
            attempts.abandon(connection, now, self.id)
            cascade.check(connection, now, self.home.policy.cascade, self.environment)
            if ended.reason == "stopped":  # the watch only reads
                stop.note(connection, now, stop.read_file(self.home.policy.stop.file))
        with self.ledger.transaction(reading=True) as connection:
            fresh = follower.fresh(connection)
            unknown = attempts.unknown_of_run(connection, self.id)
        follower.tell(fresh)
        mine = [entry for entry in follower.entries if entry.data.get("run") == self.id]
        steps = [entry for entry in mine if entry.type in _RESULTS]
        came_to = {entry.data.get("step") for entry in mine}
        declared = self.runbook.steps
        judged = Facts(
            steps=tuple(_fact(entry) for entry in steps),
            how=ended.reason,
            rc=ended.rc,
            check=self.check,
            unknown=unknown,
            declared=bool(declared),
            contains_only=all(ACTIONS[str(step.action)].containment for step in declared),
            silent=tuple(str(step.action) for step in declared if step.digest not in came_to),
        )
        return judged, tuple(_step(entry) for entry in steps)

    def closed(self, ended: Ended, facts: Facts, steps: tuple[dict[str, Any], ...], said: str) -> Outcome:
        """Put the ending on the record, hand over what a person must take, and tell them; `said`: Ansible's last error."""
        ending = judge(facts)
        message, left = _message(ending, facts, steps, ended), tuple(f"{p.pid} {p.command}" for p in ended.left)
        if ended.reason == "interrupted":
            message += f" ({', '.join(dict.fromkeys(self.signals))}); {self._next()}"
        if ending in (Ending.FAILED, Ending.CUT_SHORT):
            message += f": {said}" if said and said not in message else ""
        if ending is Ending.FAILED:
            message += f"{self._vaulted()}; see {self.home.state / 'runs' / self.id}"
        if left:
            message += f"; still running: {', '.join(left)}"
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            if ending.exit_code not in (0, 3, 4) and not self._handed_over(connection):
                audit.append(
                    connection, now, "handoff.made", self.requester, f"handed over: {message}", incident=self.incident,
                    notify="on_call", handoff=handoff(connection, self.home, self.incident).as_dict(),
                )  # fmt: skip
            runs.end(
                connection, now, self.id, ending.word, self.requester, f"{self.runbook.metadata.id}: {message}",
                exit_code=ending.exit_code, seconds=round(ended.seconds, 1),
                ended=[f"{p.pid} {p.command}" for p in ended.ended], left=list(left),
            )  # fmt: skip
        return Outcome(self.id, ending.exit_code, ending.word, message, steps, left)

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


def _tell(home: Home, ledger: Ledger) -> None:
    """What was decided, to clusters and to people."""
    cluster_stop.catch_up(ledger, home.policy.stop)
    outbox.deliver(ledger, home.policy.notifications, deliver)


_RESULTS = {"action.ended": "outcome", "action.skipped": "reason", "gate.blocked": "result"}
"""Entries that end a step, and where each says how; what a gate blocked is refused."""


def _result(entry: audit.Entry) -> str:
    return str(entry.data.get(_RESULTS[entry.type], "refused"))


def _fact(entry: audit.Entry) -> StepFact:
    """One step of the ladder as the ending is judged by it."""
    data, action = entry.data, str(entry.data.get("action", ""))
    return StepFact(
        action=action,
        result=_result(entry),
        contains=action in ACTIONS and ACTIONS[action].containment,
        measured=data.get("measured"),
        already=bool(data.get("already")),
        stopped=bool(data.get("stopped")),
    )


def _step(entry: audit.Entry) -> dict[str, Any]:
    """One step of the ladder as a result names it."""
    data, action = entry.data, str(entry.data.get("action", ""))
    return {
        "action": action,
        "target": data.get("target"),
        "rung": ACTIONS[action].rung if action in ACTIONS else None,
        "result": _result(entry),
        "plan": data.get("plan"),
        "gates": [gate["name"] for gate in data.get("gates", [])],
        "waits": bool(data.get("gates")) and all(gate.get("clears_by_approval") for gate in data["gates"]),
        "stopped": bool(data.get("stopped")),
        "summary": entry.summary,
    }
