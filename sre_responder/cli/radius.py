"""`responder radius`: what a change to a service may reach, and how good such estimates were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree
from typer.core import TyperGroup

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.running import seconds
from sre_responder.home.graph import Edge, Graph
from sre_responder.ledger import attempts
from sre_responder.ledger.troubles import troubles
from sre_responder.model.names import shown
from sre_responder.radius import svg as picture
from sre_responder.record import radius_report


class _Shown(TyperGroup):
    """`radius SERVICE` is short for `radius show SERVICE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in (*self.commands, "-h", "--help")
        return super().parse_args(ctx, args if named else ["show", *args])


radius = typer.Typer(cls=_Shown, no_args_is_help=True, help="What a change to a service may reach: radius SERVICE.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(radius, name="radius")


@radius.command()
def show(
    service: Annotated[str, typer.Argument(help="Service of the catalogue.")],
    hops: Annotated[int, typer.Option("--hops", help="How far to draw in each direction.", min=1, max=9)] = 2,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw a picture into this file.")] = None,
    json: Json = False,
) -> None:
    """What a change to a service may reach: who depends on it, what it needs, and repairs at work within two hops."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
        reach = here.home.radius(service, now)
        repairs = attempts.services_under_repair(connection, (service, *reach.neighbours))
    graph = here.home.graph

    def told(edge: Edge) -> str:
        return known_from(edge, now) if graph.observed else "declared"

    if svg is not None:
        svg.write_text(picture.svg(graph, service, hops, repairs, told), encoding="utf-8")
    if json:
        print_json({**reach.as_dict(), "repairs_nearby": list(repairs)})
        return
    users, needs = defaultdict[str, dict[str, Edge]](dict), defaultdict[str, dict[str, Edge]](dict)
    for edge in graph.edges():
        users[edge.needed][edge.user] = needs[edge.user][edge.needed] = edge
    for title, next_to in (("is needed by", users), ("needs", needs)):
        nothing = "" if next_to.get(service) else " nothing"
        tree = Tree(Text(f"{_labelled(graph, service, repairs)} {title}{nothing}"))
        branches = [(tree, service, 0)]
        for branch, name, depth in branches:
            below = next_to.get(name, {})
            if below and depth == hops:
                branch.add(f"{len(below)} more")
                continue
            for one, edge in sorted(below.items()):
                known = f" - {told(edge)}" if graph.observed else ""
                label = f"{_labelled(graph, one, repairs)}{known}"
                branches.append((branch.add(Text(label)), one, depth + 1))
        console.print(tree)
    say(f"{reach}; {len(reach.neighbours)} within two hops, {len(repairs)} under repair.")
    if reach.unknown:
        say(f"It is not known who calls {service}: {reach.unknown}. Run: responder graph refresh")


@radius.command()
def report(
    since: Annotated[str, typer.Option("--since", help="The last 90s, 15m, 720h.")] = "720h",
    within: Annotated[str, typer.Option("--within", help="How long after an action counts as its effect.")] = "15m",
    json: Json = False,
) -> None:
    """How good the estimates were: services that became unhealthy after each action, against those that were expected."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        begin = here.ledger.now(connection) - seconds(since)
        estimates = list(radius_report.made(connection, begin))
        found = radius_report.scores(estimates, troubles(connection, begin), seconds(within))
    if json:
        print_json([{**asdict(one), "precision": one.precision, "recall": one.recall} for one in found])
        return
    for one in found:
        missed = f"; not expected: {', '.join(one.missed)}" if one.missed else ""
        console.print(
            f"{one.action}: estimates {one.estimates} (of unknown reach {one.unknown}), services expected {one.expected}, "
            f"reached {one.reached}, actions beyond {one.beyond}; precision {_share(one.precision)}, recall {_share(one.recall)}{missed}",
            markup=False,
        )
    if not found:
        say("No action ended in that time.")


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"


def _labelled(graph: Graph, name: str, repairs: Collection[str]) -> str:
    known = graph.catalogue.services.get(name)
    if known is None:
        return f"{shown(name)} (not in the catalogue)"
    marks = [
        *([known.tier] if known.tier else []),
        *(["tier 0"] if known.tier_0 else []),
        *(["under repair"] if name in repairs else []),
    ]
    return f"{name} ({', '.join(marks)})" if marks else name


def known_from(edge: Edge, now: float) -> str:
    """Each source of an edge, with how long ago it saw it last."""
    seen = [f"{source} {age(now - at)} ago" for source, at in sorted(edge.seen.items())]
    if edge.one_sided:
        return "declared, never observed" if edge.declared else f"not declared, {', '.join(seen)}"
    return ", ".join(["declared", *seen])


def age(seconds: float) -> str:
    """In the largest unit of which there are two."""
    units = ((86_400, "d"), (3600, "h"), (60, "min"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= 2 * size), (1, "s"))
    return f"{max(seconds, 0) / size:.0f} {unit}"
