"""`responder graph`: observe who calls whom, and list the edges of the service graph."""

from __future__ import annotations

from typing import Annotated

import typer

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.radius import age, known_from
from sre_responder.errors import InputError
from sre_responder.model.names import shown

graph = typer.Typer(no_args_is_help=True, help="The service graph: the catalogue, and what was observed.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(graph, name="graph")


@graph.command()
def refresh(json: Json = False) -> None:
    """Read who calls whom from every source of the policy. Exits 1 if one cannot be read; run it from a timer."""
    from sre_responder.radius.refresh import refresh as read  # with every source, which help does not need

    here = context()
    if not here.home.policy.graph.sources:
        say("policy.yml names no graph.sources: the catalogue alone counts.")
        raise typer.Exit
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
    found = read(here.home, now)
    failed = any(one.problem for one in found.values())
    if json:
        rows = [
            {"source": name, "at": one.at, "calls": len(one.calls), "problem": one.problem}
            for name, one in found.items()
        ]
        print_json({"sources": rows, "exit_code": int(failed)})
    for name, one in found.items() if not json else ():
        kept = "never read" if one.at is None else f"{len(one.calls)} calls, read {age(now - one.at)} ago"
        console.print(f"{'--' if one.problem else 'ok'}  {name}: {one.problem or kept}", markup=False)
    raise typer.Exit(int(failed))


@graph.command("list")
def list_(
    one_sided: Annotated[
        bool, typer.Option("--one-sided", help="Only those that the catalogue or the sources do not know.")
    ] = False,
    json: Json = False,
) -> None:
    """Every dependency with where it is known from: the catalogue, each source, and when that saw it last."""
    here = context()
    if one_sided and not here.home.policy.graph.sources:
        raise InputError("there is nothing to compare the catalogue with.", cure="Add graph.sources to policy.yml.")
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
    found = [edge for edge in here.home.graph.edges() if edge.one_sided or not one_sided]
    if json:
        print_json([edge._asdict() for edge in found])
        return
    for edge in found:
        known = known_from(edge, now) if here.home.graph.observed else "declared"
        console.print(f"{shown(edge.user)} needs {shown(edge.needed)}: {known}", markup=False)
    if doubt := here.home.observed.doubt(here.home.policy.graph, now):
        say(f"It is not known who calls whom: {doubt}. Run: responder graph refresh")
