"""Commands of the state: status, stop, stops, settle, undo, contained."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select, update

from sre_responder import approval, names
from sre_responder import stop as stopping
from sre_responder.cli.context import Context, context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.drive.prove import Proof, end, end_tree, processes_of
from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import InputError, OutcomeUnknown, Refused
from sre_responder.ledger import attempts, audit, plans, runs
from sre_responder.ledger.runs import MACHINE, alive
from sre_responder.ledger.schema import effects as effects_table
from sre_responder.ledger.schema import stops as stops_table
from sre_responder.plan import Plan

DRIVER_SECONDS = 3.0
"""How long a driver that lives may take to end its own run before it is ended from here."""


def add_to(app: typer.Typer) -> None:
    for command in (status, stop, stops, settle, undo, contained):
        app.command(command.__name__)(command)


def _age(now: float, then: float) -> str:
    seconds = max(0, int(now - then))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def status(json: Json = False) -> None:
    """What runs, waits, is stopped, frozen or contained; each with its age and the command that clears it."""
    here = context()
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        attempts.reap(connection, now)
        for row in runs.standing(connection):
            if alive(row.machine, row.pid, row.pid_started) is False:
                runs.end(connection, now, row.id, "died", "responder", f"the process of run {row.id} died")
        found: dict[str, list[dict[str, Any]]] = {
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
            "stopped": _stops(here, connection, now),
            "frozen": [
                _row(f"{r.target}: {r.reason}", now, r.ended_at or now, f"responder settle '{r.target}'")
                for r in attempts.unknown(connection)
            ],
            "contained": [
                _row(r.target, now, r.ended_at or now, f"responder undo {r.attempt}")
                for r in attempts.contained(connection)
            ],
            "held": [_row(f"{r.target} by run {r.run}", now, r.taken_at, "its end") for r in attempts.held(connection)],
        }
    if json:
        print_json(found)
        return
    for name, rows in found.items():
        console.print(f"{name}: {'nothing' if not rows else ''}", markup=False)
        for one in rows:
            console.print(f"  {one['what']}, for {one['age']}\n    {one['command']}", markup=False)


def _row(what: str, now: float, since: float, command: str) -> dict[str, Any]:
    return {"what": what, "age": _age(now, since), "age_s": round(now - since, 1), "command": command}


def _stops(here: Context, connection: Any, now: float) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(stops_table).where(stops_table.c.lifted_at.is_(None)).order_by(stops_table.c.id)
    ).all()
    nag = here.home.policy.stop.nag_after_minutes * 60
    found = []
    for r in rows:
        old = " (old: does it still need to stand?)" if now - r.raised_at > nag else ""
        what = f"STOP-{r.id} by {r.holder} covers {stopping.scope(r.environment, r.service)}: {r.reason}{old}"
        found.append(_row(what, now, r.raised_at, f"responder lift STOP-{r.id}"))
    source = stopping.read_file(here.home.policy.stop.file)
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
        say("No stop stands.")


def stop(
    reason: Annotated[str, typer.Argument(help="Why; everybody who is stopped reads it.")],
    environment: Annotated[str | None, typer.Option("--environment")] = None,
    service: Annotated[str | None, typer.Option("--service")] = None,
    json: Json = False,
) -> None:
    """Raise an emergency stop, end what it covers, and return only after proof."""
    here, began = context(), time.monotonic()
    if environment is not None:
        names.environment(environment)
    if service is not None:
        here.home.catalogue.service(service)
    who = approval.requester(here.home.people)
    with here.ledger.transaction() as connection:
        name = stopping.raise_(
            connection, here.ledger.now(connection), who, reason, environment=environment, service=service
        )
        covered = [
            r
            for r in runs.standing(connection)
            if environment in (None, r.environment) and service in (None, r.service)
        ]
    ended, left = [], []
    for row in covered:
        proof = _end(row)
        if proof is None:
            left.append(f"run {row.id} on {row.machine} (pid {row.pid}): not on this machine, not proven")
            continue
        ended += [f"run {row.id}"] + [f"pid {p.pid} {p.command}" for p in proof.ended]
        left += [f"pid {p.pid} {p.command}" for p in proof.left]
        with here.ledger.transaction() as connection:
            now = here.ledger.now(connection)
            runs.end(connection, now, row.id, "stopped", who, f"run {row.id} ended by {name}", ended=ended, left=left)
            attempts.reap(connection, now)
    result = {"stop": name, "ended": ended, "left": left, "seconds": round(time.monotonic() - began, 2)}
    if json:
        print_json(result)
    else:
        say(
            f"{name} stands. Ended: {', '.join(ended) or 'nothing was running'}. Not ended: {', '.join(left) or 'nothing'}. {result['seconds']} s."
        )
    raise typer.Exit(4 if left else 0)


def _end(row: Any) -> Proof | None:
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
    return Proof(tuple({*seen, *proof.ended}), proof.left)


def settle(
    target: Annotated[str, typer.Argument(help="The frozen target, as `responder status` names it.")],
    json: Json = False,
) -> None:
    """Find out by a read-only probe what an action of unknown outcome did, and unfreeze its target."""
    here = context()
    with here.ledger.transaction() as connection:
        attempts.reap(connection, here.ledger.now(connection))
        row = connection.execute(
            select(effects_table)
            .where(effects_table.c.target == target, effects_table.c.state == "unknown")
            .order_by(effects_table.c.id.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            raise InputError(f"target '{names.shown(target)}' is not frozen.", cure="See `responder status`.")
        plan = plans.of(plans.find(connection, row.plan))
    happened = _probe(plan)
    if happened is None and not typer.confirm(
        "The probe cannot tell. Have you looked at the target and is it as it should be?", err=True
    ):
        raise OutcomeUnknown(
            f"the probe of {target} cannot tell whether {plan.action} happened.",
            cure="Look at the target, then settle again.",
        )
    who = approval.requester(here.home.people)
    how = {True: "it happened", False: "it did not happen", None: f"{who} looked and says it is as it should be"}[
        happened
    ]
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        attempts.end_effect(connection, now, row.id, "done" if happened else "not_done", reason=how)
        attempts.settle(connection, now, row.attempt)
        audit.append(
            connection, now, "outcome.settled", who, f"{plan.action} on {target}: {how}", incident=attempts.get(connection, row.attempt).incident,
            attempt=row.attempt, happened=happened, target=target,
        )  # fmt: skip
    if json:
        print_json({"target": target, "happened": happened, "how": how})
    else:
        say(f"{target}: {how}. It is no longer frozen; run the runbook again.")


def _probe(plan: Plan) -> bool | None:
    """What the world says now, against the plan."""
    fields = ("target", "before", "after", "undo", "undo_note", "evidence", "busy", "capacity", "diff")
    old = Change(**{name: getattr(plan, name) for name in fields})
    if plan.action in EFFECTS:
        return EFFECTS[plan.action].happened(old, EFFECTS[plan.action].plan(plan.arguments))
    if not plan.target.startswith("localhost:"):
        return None  # the host's own inventory is needed to reach it: a person looks
    root = Path(str(plan.arguments["root"]))
    try:
        link = root / os.readlink(root / "current")
    except OSError:
        return None
    release = link.name if link.parent.resolve() == (root / "releases").resolve() else None
    return True if release == plan.after["release"] else False if release == plan.before["release"] else None


def undo(
    attempt: Annotated[int, typer.Argument(help="The attempt's number.")],
    confirm_production: Annotated[bool, typer.Option("--confirm-production")] = False,
    json: Json = False,
) -> None:
    """Restore the state before an attempt, by the undo playbook that was written before it."""
    here = context()
    who = approval.requester(here.home.people)
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        rows = [
            r
            for r in attempts.effects_of(connection, attempt)
            if r.undone_at is None and r.state in ("done", "unknown")
        ]
        if not rows:
            raise InputError(f"attempt {attempt} has nothing to undo.", cure="See `responder incident show INC`.")
        made = attempts.get(connection, attempt)
        if made.environment == "production" and not confirm_production:
            raise InputError("environment production needs an explicit confirmation.", cure="Add --confirm-production.")
        facts = stopping.standing(
            connection, now, here.home.policy.stop.file, environment=made.environment, service=made.service, record=True
        )
        if not facts:
            for row in rows:
                holder = attempts.holder(connection, row.target)
                if holder is not None:
                    raise Refused(
                        f"attempt {holder.attempt} of {holder.who} holds {row.target}.", cure="responder status"
                    )
            audit.append(
                connection,
                now,
                "undo.started",
                who,
                f"undo of attempt {attempt}: {made.action}",
                incident=made.incident,
                attempt=attempt,
            )
    if facts:
        raise stopping.report(made.incident, f"undo of attempt {attempt}", facts, audit.iso(now))
    for row in rows:
        capsule = here.home.state / "undo" / f"{row.plan}.yml"
        inventory = next(
            (p for p in (here.home.folder / "inventory", here.home.folder / "inventory.yml") if p.exists()), None
        )
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            *(["-i", str(inventory)] if inventory else []),
            str(capsule),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False
        )
        if done.returncode:
            raise OutcomeUnknown(
                f"the undo playbook {capsule} ended with {done.returncode}: {(done.stdout + done.stderr)[-400:]}",
                cure="Run it by hand.",
            )
        with here.ledger.transaction() as connection:
            now = here.ledger.now(connection)
            connection.execute(update(effects_table).where(effects_table.c.id == row.id).values(undone_at=now))
            audit.append(
                connection,
                now,
                "undo.done",
                who,
                f"{made.action} on {row.target} undone",
                incident=made.incident,
                attempt=attempt,
            )
    if json:
        print_json({"attempt": attempt, "undone": [row.target for row in rows]})
    else:
        say(f"Undone: {', '.join(row.target for row in rows)}")


def contained(json: Json = False) -> None:
    """What was contained and is not undone."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
        found = [
            _row(r.target, now, r.ended_at or now, f"responder undo {r.attempt}")
            for r in attempts.contained(connection)
        ]
    if json:
        print_json(found)
        return
    for row in found:
        console.print(f"{row['what']}, for {row['age']}\n  {row['command']}", markup=False)
    if not found:
        say("Nothing is contained.")
