"""The command check: can everything that heals a service be reached from here?"""

from __future__ import annotations

from typing import Annotated

import typer

from sre_responder import home as homes
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.running import seconds
from sre_responder.errors import InputError

MARKS = {"reached": "ok", "not reached": "--", "unknown": "??"}


def add_to(app: typer.Typer) -> None:
    app.command("check")(check)


def check(  # noqa: C901 - the command refuses each misuse by itself
    services: Annotated[list[str] | None, typer.Argument(help="Services of the catalogue.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="Where it runs; default is every environment of the service.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Check every service of the catalogue.")] = False,
    within: Annotated[str, typer.Option("--within", help="Wait this long for all answers together.")] = "30s",
    json: Json = False,
) -> None:
    """Ask every probe, socket, platform and credential of a service once. Changes nothing; exits 1 if one is not reached.

    What is asked comes from the service's annotations and the registered runbooks. Exits 0 if everything was reached, 1 if
    something was not or could not be asked, 2 if the input is wrong. Nothing is written to the ledger.
    """
    home, limit = homes.find(), seconds(within)
    if not limit:
        raise InputError("--within 0 leaves no time to ask anything.", cure="Leave it out, or write 30s.")
    if bool(services) == all:
        raise InputError("name services, or --all.", cure="responder check SERVICE, or responder check --all")
    catalogue, chosen = home.catalogue, []
    for name in services or catalogue.services:
        service = catalogue.service(name)
        if all and environment and environment not in service.environments:
            continue
        if environment:
            catalogue.environment(name, environment)
        chosen += [(service, where) for where in ((environment,) if environment else service.environments)]
    if not chosen:
        raise InputError(f"no service exists in {environment}.", cure="See responder/environments in the catalogue.")
    from sre_responder.check import check as ask_all  # with every platform, which help does not need

    answers = ask_all(home, chosen, limit)
    code = int(any(one.state != "reached" for one in answers))
    if json:
        print_json({"answers": [one.as_dict() for one in answers], "exit_code": code})
        raise typer.Exit(code)
    for service, where in chosen:
        console.print(f"{service.name} in {where}", markup=False)
        for one in answers:
            if (one.service, one.environment) == (service.name, where):
                uses = f" (used by {', '.join(one.uses)})" if one.uses else ""
                console.print(
                    f"  {MARKS[one.state]}  {one.subject}{uses}: {one.reason} {one.cure}".rstrip(), markup=False
                )
    reached = sum(one.state == "reached" for one in answers)
    say(f"{reached} of {len(answers)} reached.")
    raise typer.Exit(code)
