"""Commands of the record: incident, timeline, audit."""

from __future__ import annotations

import dataclasses
import json as jsonlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from sre_responder.approvals import approval
from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, done, print_json, say
from sre_responder.cli.people import Key, Name
from sre_responder.cli.running import seconds
from sre_responder.errors import InputError
from sre_responder.incident import escalation
from sre_responder.ledger import archive, incidents
from sre_responder.ledger import audit as record
from sre_responder.ledger.schema import incidents as table
from sre_responder.model import names
from sre_responder.record import anchor, guard_report
from sre_responder.record import report as incident_report
from sre_responder.record.handoff import Changed, Handover, Tried, handoff

incident = typer.Typer(no_args_is_help=True, help="Incidents on the record.")
audit = typer.Typer(no_args_is_help=True, help="The hash-chained record.")
guard = typer.Typer(no_args_is_help=True, help="The guard's own account.")
Number = Annotated[str, typer.Argument(help="The incident's number.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(incident, name="incident")
    app.add_typer(audit, name="audit")
    app.add_typer(guard, name="guard")
    app.command("timeline")(timeline)


@incident.command("open")
def open_(
    service: Annotated[str, typer.Option("--service")],
    environment: Annotated[str, typer.Option("--environment")],
    severity: Annotated[str, typer.Option("--severity", help="SEV1 to SEV4, or an alias.")] = "SEV3",
    title: Annotated[str, typer.Option("--title")] = "",
    number: Annotated[str | None, typer.Option("--incident", help="Its number, where another system gave one.")] = None,
    json: Json = False,
) -> None:
    """Open an incident, or join the open one of that number."""
    here = context()
    level = here.home.policy.severity(severity)
    name = here.home.catalogue.service(service).name
    with here.ledger.transaction() as connection:
        found, new = incidents.open_(
            connection, here.ledger.now(connection), service=name, environment=here.home.catalogue.environment(name, environment), severity=level,
            title=title or f"incident of {name}", actor=approval.requester(here.home.people), id=names.incident(number) if number else None,
        )  # fmt: skip
        escalation.catch_up(connection, here.ledger.now(connection), here.home, found)
    if json:
        print_json({"incident": found, "new": new})
    else:
        print(found)


@incident.command("list")
def list_(json: Json = False) -> None:
    """Every incident, the newest first."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        rows = [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.opened_at.desc()))]
    if json:
        print_json(rows)
        return
    for row in rows:
        console.print(
            f"{row['id']}  {row['status']:<7} {row['severity']}  {row['service']} in {row['environment']}: {row['title']}",
            markup=False,
        )


@incident.command()
def show(number: Number, json: Json = False) -> None:
    """One incident and what a person who takes over must know."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, names.incident(number))
        if row is None:
            raise InputError(f"incident {number} is not in the ledger.", cure="See `responder incident list`.")
        found = handoff(connection, here.home, number)
    if json:
        print_json({"incident": dict(row._mapping), "handoff": found.as_dict()})
        return
    console.print(f"{row.id} {row.status} {row.severity} {row.service} in {row.environment}: {row.title}", markup=False)
    for line in lines(found):
        console.print(f"  {line}", markup=False)


OUTCOMES = {
    None: "not finished",
    "improved": "improved",
    "not_improved": "did not help",
    "unknown": "outcome unknown",
    "unmeasured": "was interrupted; whether it helped was never measured",
}


def lines(found: Handover) -> list[str]:
    """A handover as text, one fact a line."""
    facts = {
        **{name: list(getattr(found, name)) for name in ("escalation", "found") if getattr(found, name)},
        "tried": [line for one in found.tried for line in _tried(one)],
        "changed": [_changed(one) for one in found.changed],
        **{name: list(getattr(found, name)) for name in ("frozen", "held", "contained", "running")},
        "next": [found.next],
        "undo": list(found.undo),
        **{name: list(getattr(found, name)) for name in ("contacts", "rollback") if getattr(found, name)},
    }
    return [f"{name}: {item}" for name, items in facts.items() for item in items or ["none"]]


def _changed(one: Changed) -> str:
    left = "nobody saw how" if one.left is None else jsonlib.dumps(one.left)
    return f"{one.target}, left by attempt {one.attempt}: {left}"


def _tried(one: Tried) -> list[str]:
    where = ", ".join(one.targets) or "an unknown target"
    head = f"{one.action} on {where} (rung {one.rung}, attempt {one.attempt}): {OUTCOMES.get(one.outcome, one.outcome)}"
    return [head, *(f"  to try again: {command}, then run the runbook again" for command in one.again)]


@incident.command("report")
def report_(
    number: Number,
    to: Annotated[Path | None, typer.Option("--to", help="Write a file; default: standard output.")] = None,
    json: Json = False,
) -> None:
    """One incident as an HTML page of its own: actions, measurements as charts, handover, timeline. It needs no network.

    responder incident report INC-00001 --to INC-00001.html
    """
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, names.incident(number))
        if row is None:
            raise InputError(f"incident {number} is not in the ledger.", cure="See `responder incident list`.")
        entries = list(record.entries(connection, incident=number))
        text = incident_report.page(dict(row._mapping), entries, lines(handoff(connection, here.home, number)))
    if to is None:
        if json:
            print_json({"page": text})
        else:
            print(text, end="")
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{to} cannot be written: {error.strerror}.", cure="Name a file in a folder of yours."
        ) from error
    done(json, f"Wrote {to}.", wrote=str(to))


@incident.command()
def note(
    number: Number, text: Annotated[str, typer.Argument(help="The words to remember.")], json: Json = False
) -> None:
    """Add a note to the timeline."""
    here = context()
    with here.ledger.transaction() as connection:
        if incidents.get(connection, names.incident(number)) is None:
            raise InputError(f"incident {number} is not in the ledger.", cure="See `responder incident list`.")
        entry = record.append(
            connection,
            here.ledger.now(connection),
            "note.added",
            approval.requester(here.home.people),
            text,
            incident=number,
        )
    if json:
        print_json({"incident": number, "entry": entry})
    else:
        say("Noted.")


@incident.command()
def close(
    number: Number,
    in_sync: Annotated[str, typer.Option("--in-sync", help="Git and the cluster match; say how you know.")] = "",
    json: Json = False,
) -> None:
    """Close an incident; refused while anything of it is contained, frozen or held, or Git and cluster disagree."""
    from sre_responder.record import closing  # with all that acts, whose word is asked for

    here = context()
    closing.close(here.home, here.ledger, number, approval.requester(here.home.people), in_sync=in_sync)
    if json:
        print_json({"incident": number, "status": "closed"})
    else:
        say(f"{number} is closed.")
    here.deliver()


def timeline(number: Number, json: Json = False) -> None:
    """What happened, in order."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        entries = list(record.entries(connection, incident=names.incident(number)))
    if not entries:
        raise InputError(f"nothing is on the record of {number}.", cure="See `responder incident list`.")
    _print(entries, json)


def _print(entries: list[record.Entry], json: bool) -> None:
    if json:
        print_json([dataclasses.asdict(entry) for entry in entries])
        return
    for entry in entries:
        console.print(f"{entry.at[:19]}Z  {entry.type:<18} {entry.summary}", markup=False)


@audit.command("show")
def show_audit(
    last: Annotated[int, typer.Option("--last", min=1, help="The newest so many.")] = 50, json: Json = False
) -> None:
    """The newest entries of the record."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        _print(list(record.entries(connection, after=max(0, record.last(connection) - last))), json)


@audit.command()
def verify(
    anchored: Annotated[
        Path | None, typer.Option("--anchor", help="Also prove that nothing up to this signed anchor has changed.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove that the record is whole; names the first broken link."""
    here = context()
    verdict = anchor.check(here.home, here.ledger, anchored) if anchored else record.verify(here.ledger)
    if json:
        print_json(dataclasses.asdict(verdict))
    elif verdict.ok:
        say(f"Audit chain intact: {verdict.entries} entries.")
    else:
        say(f"Entry {verdict.broken_at}: {verdict.reason}. {verdict.entries} entries before it are whole.")
    raise typer.Exit(0 if verdict.ok else 1)


@audit.command()
def export(
    format: Annotated[str, typer.Option("--format", help="jsonl or cloudevents.")] = "jsonl",
    since: Annotated[str, typer.Option("--since", help="Only the last 90s, 15m, 24h.")] = "",
) -> None:
    """The record as JSON Lines on stdout, as it is or as CloudEvents."""
    shapes: dict[str, Callable[[record.Entry], dict[str, Any]]] = {
        "jsonl": dataclasses.asdict,
        "cloudevents": record.cloud_event,
    }
    if format not in shapes:
        raise InputError(f"format '{names.shown(format)}' is not known.", cure=f"Use {' or '.join(shapes)}.")
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        begin = here.ledger.now(connection) - seconds(since) if since else None
        for entry in record.entries(connection, since=begin):
            print(jsonlib.dumps(shapes[format](entry)))


@audit.command("anchor")
def anchor_(key: Key = None, name: Name = None) -> None:
    """Sign the head of the record and print it; keep it in Git, and `verify --anchor` proves that nothing before it changed."""
    here = context()
    person = here.home.people.named(name or approval.requester(here.home.people))
    print_json(anchor.make(here.home, here.ledger, person, key or approval.default_key()))


@audit.command("archive")
def archive_(
    before: Annotated[datetime, typer.Option("--before", formats=["%Y-%m-%d"], help="Move what is older, 2026-01-31.")],
    to: Annotated[Path, typer.Option("--to", help="A new file of JSON lines.")],
    json: Json = False,
) -> None:
    """Move the oldest entries, of closed incidents, to a file; the chain stays provable. Run as the owner of the tables."""
    here = context()
    who = approval.requester(here.home.people)
    moved = archive.move(here.ledger, before.replace(tzinfo=UTC).timestamp(), to, who)
    done(json, f"{moved} entries moved to {to}." if moved else "Nothing is that old.", moved=moved, to=str(to))


@guard.command()
def report(
    since: Annotated[str, typer.Option("--since", help="The last 90s, 15m, 720h.")] = "720h", json: Json = False
) -> None:
    """What the guard decided in a period: refusals by gate, saves, false blocks, and what cannot be known."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        begin = here.ledger.now(connection) - seconds(since)
        found = guard_report.report(record.entries(connection, since=begin))
    if json:
        print_json(dataclasses.asdict(found))
        return
    for name, value in dataclasses.asdict(found).items():
        text = ", ".join(f"{gate} {number}" for gate, number in value.items()) if isinstance(value, dict) else value
        console.print(f"{name.replace('_', ' '):<16} {text or 'none'}", markup=False)
