"""Running a runbook: prepare, drive, watch stop and latch, and say what became of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from sre_responder.actions import ACTIONS
from sre_responder.approvals import approval
from sre_responder.drive.prepare import prepare
from sre_responder.drive.run import Ended, run
from sre_responder.emergency import cascade, cluster_stop, stop
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, audit, outbox, runs
from sre_responder.notify.deliver import deliver
from sre_responder.record.handoff import handoff
from sre_responder.runbook import Runbook
from sre_responder.watch import Watch


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its exit code as promised, and the steps as the record has them."""

    run: str
    exit_code: int
    ending: str
    message: str
    steps: tuple[dict[str, Any], ...] = ()
    left: tuple[str, ...] = field(default=())

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
) -> Outcome:
    """Run one runbook under the driver until it is healed, refused, stopped or exhausted.

    `on_entry` is called with every new entry of the record: what is shown is what is on the record.
    """
    home.catalogue.service(service)
    if environment == "production" and not confirm_production:
        raise InputError("environment production needs an explicit confirmation.", cure="Add --confirm-production.")
    id, requester = f"run-{secrets.token_hex(6)}", approval.requester(home.people)
    folder = home.state / "runs" / id
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        facts = stop.standing(
            connection, now, home.policy.stop.file, environment=environment, service=service, record=True
        )
        seen = audit.last(connection)
        runs.begin(
            connection, now, id, driven=True, requester=requester, incident=incident, runbook=runbook.metadata.id, service=service,
            environment=environment, folder=str(folder),
        )  # fmt: skip
    if facts:
        with ledger.transaction() as connection:
            runs.end(connection, ledger.now(connection), id, "stopped", requester, "an emergency stop stands")
        _tell(home, ledger)
        raise stop.report(incident, f"run {runbook.metadata.id}", facts, audit.iso(now))
    environ = {**os.environ, "RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url}
    prepared = prepare(
        id, runbook.folder, folder,
        {"incident": incident, "service": service, "target": environment, "confirm_production": confirm_production},
        home.inventory, environ, check=check,
    )  # fmt: skip
    follower = _Follower(incident, seen, on_entry)
    watch = Watch(home, ledger, id, environment, service)

    def watch_and_tell() -> str | None:
        with ledger.transaction(reading=True) as connection:
            word, fresh = watch.look(connection), follower.fresh(connection)
        follower.tell(fresh)
        return word

    with ledger.kept_open():
        ended = run(
            prepared, watch=watch_and_tell, on_event=lambda _: None, deadline_s=home.policy.run_deadline_minutes * 60
        )
    return _conclude(home, ledger, runbook, id, incident, environment, requester, ended, follower, check)


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


def _conclude(
    home: Home,
    ledger: Ledger,
    runbook: Runbook,
    id: str,
    incident: str,
    environment: str,
    requester: str,
    ended: Ended,
    follower: _Follower,
    check: bool,
) -> Outcome:
    """The exit code and the closing entry, from the record rather than from Ansible's return code."""
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.reap(connection, now)
        attempts.abandon(connection, now, id)
        cascade.check(connection, now, home.policy.cascade, environment)
        if ended.reason == "stopped":  # the watch only reads
            stop.note(connection, now, stop.read_file(home.policy.stop.file))
    with ledger.transaction(reading=True) as connection:
        fresh = follower.fresh(connection)
        mine = [a for a in attempts.of_incident(connection, incident) if attempts.get(connection, a.id).run == id]
    follower.tell(fresh)
    told = ("action.ended", "action.skipped", "gate.blocked")
    steps = tuple(_step(entry) for entry in follower.entries if entry.type in told and entry.data.get("run") == id)
    refused = [step for step in steps if step["result"] == "refused"]
    left = tuple(f"{p.pid} {p.command}" for p in ended.left)
    healed = bool(steps) and (steps[-1]["result"] == "improved" or any(step["result"] == "healthy" for step in steps))
    expected = {step.action for step in runbook.steps if step.action}
    silent = expected - {step["action"] for step in steps}
    if ended.reason == "stopped":
        code, ending, message = 4, "stopped", "an emergency stop ended the run"
    elif any(attempt.outcome == "unknown" for attempt in mine):
        code, ending, message = 5, "unknown", "the outcome of the last action is not known; its target is frozen"
    elif refused:
        code, ending, message = (4 if refused[-1]["stopped"] else 3), "refused", refused[-1]["summary"]
    elif ended.reason == "deadline":
        code, ending, message = (
            1,
            "deadline",
            "the run, or a rollback in it, took longer than the policy allows and was ended",
        )
    elif steps and steps[-1]["result"] == "not_done":
        code, ending, message = 3, "refused", steps[-1]["summary"]
    elif ended.reason == "unwritable":
        code, ending, message = 1, "failed", f"the folder of the run could not be written any more: {ended.unwritable}"
    elif ended.rc != 0:
        code, ending, message = 1, "failed", f"Ansible ended with {ended.rc}; see {home.state / 'runs' / id}"
    elif check:
        code, ending, message = 0, "previewed", "nothing was changed"
    elif healed and all(step["rung"] == 0 for step in steps):
        code, ending, message = 0, "contained", "the target is contained; see `responder contained`"
    elif healed:
        code, ending, message = 0, "healed", "the success criterion is met"
    elif silent:
        code, ending, message = (
            1,
            "cut_short",
            f"steps that should have run left no record: {', '.join(sorted(silent))}",
        )
    else:
        code, ending, message = 6, "exhausted", "every rung was tried; handed over to a person"
    if ended.left:
        message += f"; still running: {', '.join(left)}"
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        if code not in (0, 3, 4):
            text = handoff(connection, home, incident)
            audit.append(
                connection,
                now,
                "handoff.made",
                requester,
                f"handed over: {message}",
                incident=incident,
                notify="on_call",
                handoff=text,
            )
        runs.end(
            connection, now, id, ending, requester, f"{runbook.metadata.id}: {message}", exit_code=code, seconds=round(ended.seconds, 1),
            ended=[f"{p.pid} {p.command}" for p in ended.ended], left=list(left),
        )  # fmt: skip
    _tell(home, ledger)
    return Outcome(id, code, ending, message, steps, left)


def _tell(home: Home, ledger: Ledger) -> None:
    """What was decided, to clusters and to people."""
    cluster_stop.catch_up(ledger, home.policy.stop)
    outbox.deliver(ledger, home.policy.notifications, deliver)


def _step(entry: audit.Entry) -> dict[str, Any]:
    """One step of the ladder as a result names it."""
    data = entry.data
    result = {"action.ended": data.get("outcome"), "action.skipped": data.get("reason"), "gate.blocked": "refused"}[
        entry.type
    ]
    action = data.get("action", "")
    return {
        "action": action,
        "rung": ACTIONS[action].rung if action in ACTIONS else None,
        "result": result,
        "plan": data.get("plan"),
        "gates": [gate["name"] for gate in data.get("gates", [])],
        "stopped": bool(data.get("stopped")),
        "summary": entry.summary,
    }
