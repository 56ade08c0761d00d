"""Commands that only look: what is wrong with a service, what the next person must know."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import typer

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json
from sre_responder.cli.record import lines
from sre_responder.errors import InputError
from sre_responder.ledger import incidents, known_good
from sre_responder.model import names
from sre_responder.model.names import shown
from sre_responder.record import handoff as handovers

Name = Annotated[str, typer.Argument(help="Service of the catalogue.")]


def add_to(app: typer.Typer) -> None:
    for command in (diagnose, handoff):
        app.command(command.__name__)(command)


def diagnose(
    service: Name,
    environment: Annotated[str | None, typer.Option("--environment", help="Default is the only one it has.")] = None,
    json: Json = False,
) -> None:
    """Collect what a person would look at first: probe, processes, releases, log, Kubernetes, host, dependencies. Changes nothing."""
    from sre_responder.diagnosis import diagnose as collect  # with every platform, which help does not need
    from sre_responder.diagnosis import findings
    from sre_responder.recovery import left_as_bad

    here = context()
    catalogue = here.home.catalogue
    one = catalogue.service(service)
    where = environment or (one.environments[0] if len(one.environments) == 1 else None)
    if where is None:
        raise InputError(f"{service} exists in {', '.join(one.environments)}.", cure="Say which with --environment.")
    catalogue.environment(service, where)
    needed = [catalogue.services[name].only(where) for name in one.depends_on if name in catalogue.services]
    with here.ledger.transaction(reading=True) as connection:
        known = known_good.find(connection, service, where)
    again = partial(left_as_bad.again, here.home, here.ledger, service, where)
    found = collect(one.only(where), needed, None, here.home.place(service, where), known, again)
    if json:
        print_json({"service": service, "environment": where, "findings": findings(found), "diagnosis": found})
        return
    for finding in findings(found):
        console.print(f"found: {shown(finding, 400)}", markup=False, soft_wrap=True)
    for name, part in found.items():
        if part["status"] == "ok":
            for line in _told(part["data"]):
                console.print(f"{name:<12} {shown(line, 400)}", markup=False, soft_wrap=True)
        else:
            console.print(f"{name:<12} {part['status']}: {shown(part['reason'], 400)}", markup=False, soft_wrap=True)


def _told(data: Any) -> Iterable[str]:
    """What a collector gave, one fact a line."""
    if isinstance(data, Mapping):
        return [f"{name}: {value if isinstance(value, str) else jsonlib.dumps(value)}" for name, value in data.items()]
    rows = data if isinstance(data, list) else [data]
    return [row if isinstance(row, str) else jsonlib.dumps(row) for row in rows] or ["nothing"]


def handoff(number: Annotated[str, typer.Argument(help="Number of the incident.")], json: Json = False) -> None:
    """What the person who takes over must know: tried, changed, frozen, contained, still running, next command, undo."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, names.incident(number))
        if row is None:
            raise InputError(f"incident {number} is not in the ledger.", cure="See `responder incident list`.")
        found = handovers.handoff(connection, here.home, number)
    if json:
        print_json(found.as_dict())
        return
    for line in lines(found):
        console.print(line, markup=False, soft_wrap=True)
