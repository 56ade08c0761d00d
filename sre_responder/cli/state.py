"""Commands of the state: status, stop, stops, contained."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, select

from sre_responder.approvals import approval, break_glass
from sre_responder.cli.context import Context, context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.emergency import cluster_stop, stopping
from sre_responder.emergency import stop as stop_source
from sre_responder.engine import paging
from sre_responder.engine.delivery import tell_soon
from sre_responder.errors import LedgerUnavailable
from sre_responder.guard.breakers import locked_out
from sre_responder.guard.gates.loop import allow
from sre_responder.incident import escalation
from sre_responder.ledger import attempts, foreseen, incidents, outbox, plans, runs
from sre_responder.ledger.audit import iso
from sre_responder.ledger.schema import stops as stops_table
from sre_responder.model import names
from sre_responder.notify.deliver import deliver as send


def add_to(app: typer.Typer) -> None:
    for command in (status, stop, stops, contained, deliver):
        app.command(command.__name__)(command)


def _age(now: float, then: float) -> str:
    seconds = max(0, int(now - then))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def status(json: Json = False) -> None:
    """What is open, runs, waits, or was refused, stopped, frozen or contained; each with its age and what clears it."""
    here = context()
    clusters = cluster_stop.asking(here.home.policy.stop.clusters)  # answer meanwhile: no transaction waits for one
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        every = connection.execute(select(stops_table)).all()
        attempts.reap(connection, now)
        for row in runs.standing(connection):
            if runs.gone(connection, row):
                runs.end(connection, now, row.id, "died", "responder", f"the process of run {row.id} died")
        found: dict[str, list[dict[str, Any]]] = {
            "incidents": [
                _row(
                    f"{r.id} {r.severity or 'without severity'} {r.service} in {r.environment}: {r.title}{_level(connection, r.id)}",
                    now,
                    r.opened_at,
                    f"responder incident show {r.id}",
                )
                for r in incidents.open_now(connection)
            ],
            "running": [
                _row(
                    f"{r.runbook or 'a playbook'} for {r.incident} on {r.machine} (pid {r.pid})",
                    now,
                    r.started_at,
                    "responder stop REASON",
                )
                for r in runs.standing(connection)
            ],
            "waiting": [
                _row(f"{plans.of(r).action} of {r.incident}", now, r.made_at, f"responder approve {r.digest[:12]}")
                for r in plans.waiting(connection)
            ],
            "refused": [
                _row(
                    f"{r.runbook or 'a playbook'} for {r.incident}: {r.halted_because or 'see the timeline'}",
                    now,
                    r.ended_at,
                    f"responder timeline {r.incident}",
                )
                for r in runs.refused(connection)
            ],
            "stopped": _stops(here, connection, now),
            "frozen": [
                _row(f"{r.target}: {r.reason}", now, r.ended_at or now, f"responder settle '{r.target}'")
                for r in attempts.unknown(connection)
            ],
            "contained": _contained(connection, now),
            "reviews": [
                _row(
                    f"break-glass of {debt.person} for plan {debt.plan[:12]}",
                    now,
                    debt.since,
                    f"responder break-glass review {debt.id} --note TEXT",
                )
                for debt in break_glass.owed(connection)
            ],
            "locked_out": [
                _row(name, now, since, allow(name))
                for name, since in locked_out(connection, now, here.home.policy).items()
            ],
            "held": [
                _row(
                    f"{r.target} by run {r.run}",
                    now,
                    r.taken_at,
                    "its end" if r.expires_at > now else f"its end, or: responder settle '{r.target}' --verified",
                )
                for r in attempts.held(connection)
            ],
            "undelivered": [
                _row(trouble.text, now, trouble.since, f"responder notify test {trouble.channel}")
                for trouble in outbox.troubles(connection, now)
            ],
        }
    told = (cluster_stop.described(one, state, every) for one, state in clusters().items())
    found["stopped"] += [_row(what, now, since, command) for what, since, command in filter(None, told)]
    if json:
        print_json(found)
        return
    for name, rows in found.items():
        console.print(f"{name}: {'nothing' if not rows else ''}", markup=False)
        for one in rows:
            console.print(f"  {one['what']}, for {one['age']}\n    {one['command']}", markup=False)


def _row(what: str, now: float, since: float | None, command: str) -> dict[str, Any]:
    if since is None:
        return {"what": what, "age": "nobody knows how long", "age_s": None, "command": command}
    return {"what": what, "age": _age(now, since), "age_s": round(now - since, 1), "command": command}


def _level(connection: Connection, incident: str) -> str:
    made = escalation.current(connection, incident)
    return f" (level {made.level})" if made else ""


def _contained(connection: Connection, now: float) -> list[dict[str, Any]]:
    found = []
    for r in attempts.contained(connection):
        at = foreseen.ends_at(connection, r)
        left = "" if at is None else f" until {iso(at)[:16]}Z" + " (over: responder undo --due)" * (at <= now)
        found.append(_row(f"{r.target}{left}", now, r.ended_at or now, f"responder undo {r.attempt}"))
    return found


def _stops(here: Context, connection: Any, now: float) -> list[dict[str, Any]]:
    rows = stop_source.every_standing(connection)
    nag = here.home.policy.stop.nag_after_minutes * 60
    found = []
    for r in rows:
        old = " (old: does it still need to stand?)" if now - r.raised_at > nag else ""
        what = f"STOP-{r.id} by {r.holder} covers {stop_source.scope(r.environment, r.service)}: {r.reason}{old}"
        found.append(_row(what, now, r.raised_at, f"responder lift STOP-{r.id}"))
    source = stop_source.read_file(here.home.policy.stop.file)
    if source.state == "unreadable" or (source.state == "raised" and not any(r.source == "file" for r in rows)):
        found.append(
            _row(f"the stop file covers everything: {source.reason}", now, now, f"look at {here.home.policy.stop.file}")
        )
    return found


def stops(json: Json = False) -> None:
    """The emergency stops that stand."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        found = _stops(here, connection, here.ledger.now(connection))
    if json:
        print_json(found)
        return
    for row in found:
        console.print(f"{row['what']}, for {row['age']}\n  {row['command']}", markup=False)
    if not found:
        say("No emergency stop is active.")


def stop(
    reason: Annotated[str, typer.Argument(help="Why; everybody who is stopped reads it.")],
    environment: Annotated[str | None, typer.Option("--environment")] = None,
    service: Annotated[str | None, typer.Option("--service")] = None,
    json: Json = False,
) -> None:
    """Raise an emergency stop, end what it covers, and return only after proof.

    \b
    responder stop "the vendor is moving the database"
    responder stop "load test" --environment staging --service checkout
    """
    here = context()
    if environment is not None:
        names.environment(environment)
    if service is not None:
        here.home.catalogue.service(service)
    who = approval.requester(here.home.people)
    limits = here.home.policy.stop
    done = stopping.halt(here.ledger, who, reason, environment=environment, service=service, limits=limits)
    if json:
        print_json(asdict(done))
    else:
        ended = f"Ended: {', '.join(done.ended)}." if done.ended else "Nothing was running."
        left = f"Not ended: {', '.join(done.left)}" if done.left else "Nothing is left running"
        say(f"{done.stop} is active. {ended} {left} ({done.seconds} s).")
    with suppress(LedgerUnavailable):  # what is left is said above
        tell_soon(here.home, here.ledger)
    raise typer.Exit(4 if done.left else 0)


def deliver(json: Json = False) -> None:
    """Deliver pending notifications, propagate stops to clusters, and read acknowledgements back; run it from a timer if you use plain ansible-playbook."""
    here = context()
    told = cluster_stop.catch_up(here.ledger, here.home.policy.stop)
    unread = paging.follow(here.home, here.ledger)
    left = outbox.deliver(here.ledger, here.home.policy.notifications, send)
    if json:
        print_json({"waiting": left, "clusters": told["done"] + told["left"], "not_read_back": unread})
    else:
        for line in told["done"] + told["left"] + unread:
            say(line)
        with here.ledger.transaction(reading=True) as connection:
            for one in outbox.troubles(connection, here.ledger.now(connection)):
                say(one.text)
        say(f"{left} messages are waiting to be delivered." if left else "Nothing is waiting to be delivered.")


def contained(json: Json = False) -> None:
    """What was contained and is not undone."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
        found = _contained(connection, now)
    if json:
        print_json(found)
        return
    for row in found:
        console.print(f"{row['what']}, for {row['age']}\n  {row['command']}", markup=False)
    if not found:
        say("Nothing is contained.")
