"""Running a runbook: prepare, drive, watch stop and latch, and say what became of it."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sre_responder.approvals import approval
from sre_responder.drive.environment import inherited
from sre_responder.drive.environment import secrets as secrets_of
from sre_responder.drive.prepare import prepare
from sre_responder.drive.run import run
from sre_responder.drive.words import brief, last_error
from sre_responder.emergency import cascade, cluster_stop, stop
from sre_responder.engine.conclusion import Climb, Outcome
from sre_responder.engine.delivery import tell_soon
from sre_responder.engine.follower import Follower
from sre_responder.engine.watch import Watch
from sre_responder.errors import InputError, LedgerUnavailable, OutcomeUnknown, Refused
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.incident import escalation
from sre_responder.ledger import Ledger, attempts, audit, outbox, runs
from sre_responder.lint import findings
from sre_responder.notify.deliver import deliver
from sre_responder.system import signals


def climb(  # noqa: PLR0913 - what a caller says of a run, each by its name
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
    if why := _unfit(home, runbook, check=check):
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
            cascade.check(connection, now, home, environment)
            facts = stop.standing(
                connection, now, home.policy.stop.file, environment=environment, service=service, record=True
            )
            seen = audit.last(connection)
            runs.begin(
                connection, now, id, driven=True, requester=requester, incident=incident, runbook=runbook.metadata.id, service=service,
                environment=environment, folder=str(folder), preview=check,
            )  # fmt: skip
            if not check:
                escalation.catch_up(connection, now, home, incident)
        if facts:
            with ledger.transaction() as connection:
                runs.end(connection, ledger.now(connection), id, "stopped", requester, "an emergency stop stands")
        else:
            climbed = Climb(home, ledger, runbook, id, incident, service, environment, requester, check, came)
            outcome = _driven(climbed, Follower(incident, seen, on_entry), folder, given, confirm_production, on_tick)
    if facts:
        _tell(home, ledger)
        raise stop.report(incident, f"run {runbook.metadata.id}", facts, audit.iso(now))
    if came:  # who ends a run in a hurry waits for no receiver
        tell_soon(home, ledger)
    else:
        _tell(home, ledger)
    return replace(outcome, interrupted=bool(came))


def _driven(
    climbed: Climb,
    follower: Follower,
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

    words, hidden = list[str](), secrets_of(given, home.variables)

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


def _unfit(home: Home, runbook: Runbook, *, check: bool) -> Refused | None:
    """Why no task of this runbook may run, guarded or not: a preview may be of one that is not registered yet."""
    name = runbook.metadata.id
    if not check and not runbook.registered:
        return Refused(
            f"runbook {name} is not registered with digest {runbook.digest[:12]}; no task of it was run.",
            cure=f"Review it, then: responder runbooks register {name}",
        )
    if found := [one for one in findings(runbook.folder, home.policy, home.slos) if one.level == "error"]:
        lines = "; ".join(f"{one.file}:{one.line}: {one.message}" for one in found[:5])
        return Refused(
            f"runbook {name} weakens the guard; no task of it was run: {lines}.",
            cure=f"responder lint {shlex.quote(str(runbook.folder))}",
        )
    return None


def _tell(home: Home, ledger: Ledger) -> None:
    """What was decided, to clusters and to people."""
    cluster_stop.catch_up(ledger, home.policy.stop)
    outbox.deliver(ledger, home.policy.notifications, deliver)
