"""Commands that only look: what is wrong with a service, what a change to it reaches, what the next person must know."""

from __future__ import annotations

import json as jsonlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.record import lines
from sre_responder.errors import InputError
from sre_responder.home.catalogue import Catalogue
from sre_responder.ledger import attempts, incidents, known_good
from sre_responder.model import names
from sre_responder.model.names import shown
from sre_responder.record import handoff as handovers

Name = Annotated[str, typer.Argument(help="Service of the catalogue.")]


def add_to(app: typer.Typer) -> None:
    for command in (diagnose, radius, handoff):
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


def radius(
    service: Name,
    hops: Annotated[int, typer.Option("--hops", help="How far to draw in each direction.", min=1, max=9)] = 2,
    json: Json = False,
) -> None:
    """What a change to a service may reach: who depends on it, what it needs, and repairs at work within two hops."""
    here = context()
    catalogue = here.home.catalogue
    reach = catalogue.radius(service)
    with here.ledger.transaction(reading=True) as connection:
        repairs = attempts.services_under_repair(connection, (service, *reach.neighbours))
    if json:
        print_json({**reach.as_dict(), "repairs_nearby": list(repairs)})
        return
    needs = {name: one.depends_on for name, one in catalogue.services.items()}
    users = defaultdict[str, list[str]](list)
    for name, needed in needs.items():
        for one in needed:
            users[one].append(name)
    for title, next_to in (("is needed by", users), ("needs", needs)):
        nothing = "" if next_to.get(service) else " nothing"
        tree = Tree(Text(f"{_labelled(catalogue, service, repairs)} {title}{nothing}"))
        branches = [(tree, service, 0)]
        for branch, name, depth in branches:
            below = sorted(next_to.get(name, ()))
            if below and depth == hops:
                branch.add(f"{len(below)} more")
                continue
            branches += [(branch.add(Text(_labelled(catalogue, one, repairs))), one, depth + 1) for one in below]
        console.print(tree)
    say(
        f"{len(reach.downstream)} services downstream, {len(reach.neighbours)} within two hops, {len(repairs)} under repair."
    )


def _labelled(catalogue: Catalogue, name: str, repairs: Iterable[str]) -> str:
    known = catalogue.services.get(name)
    if known is None:
        return f"{shown(name)} (not in the catalogue)"
    marks = [*([known.tier] if known.tier else []), *(["under repair"] if name in repairs else [])]
    return f"{name} ({', '.join(marks)})" if marks else name


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
