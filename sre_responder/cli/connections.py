"""Commands of the connections to platforms: list them, and test whether their secrets can be read and their platforms answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sre_responder import home as homes
from sre_responder.cli.check import MARKS
from sre_responder.cli.output import Json, console, print_json
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.annotations import connection as annotation
from sre_responder.home.catalogue import Service
from sre_responder.model.names import shown

connections = typer.Typer(no_args_is_help=True, help="How platforms are reached, and with which login.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(connections, name="connections")


@connections.command("list")
def list_(json: Json = False) -> None:
    """Each connection, its platform and the services that use it. No secret is read."""
    home = homes.find()
    rows = [
        {
            "connection": name,
            "platform": home.connections.named[name].platform,
            "services": [f"{service.name} in {environment}" for service, environment in _users(home, name)],
        }
        for name in home.connections
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        used = ", ".join(row["services"]) or "nobody"
        console.print(f"{row['connection']}  {row['platform']}  used by {used}", markup=False)
    if not rows:
        console.print(f"no connections: {home.connections.file} does not exist or is empty", markup=False)


@connections.command()
def test(
    name: Annotated[str | None, typer.Argument(help="Name of a connection; default is all of them.")] = None,
    json: Json = False,
) -> None:
    """Read each secret, and ask the platform once for every service that uses it. Changes nothing; exits 1 if something failed."""
    from sre_responder.check import check  # with every platform, which help does not need

    home = homes.find()
    chosen = [one for one in home.connections if name in (None, one)]
    if not chosen:
        known = ", ".join(home.connections)
        raise InputError(
            f"connection '{shown(name)}' is not in {home.connections.file}." if name else "there are no connections.",
            cure=f"Use one of {known}." if known else f"Write them into {home.connections.file}; see docs/operate.md.",
        )
    rows = []
    for one in chosen:
        platform = home.connections.named[one].platform
        wrong = list(home.connections.unreadable(one))
        rows += [{"connection": one, "state": "not reached", "reason": why} for why in wrong]
        users = list(_users(home, one))
        answers = [] if wrong else check(home, users)
        asked = [answer for answer in answers if answer.kind == platform]
        rows += [
            {
                "connection": one,
                "state": answer.state,
                "reason": f"{answer.subject} of {answer.service} in {answer.environment}: {answer.reason} {answer.cure}".rstrip(),
            }
            for answer in asked
        ]
        if not wrong and not asked:
            rows.append({"connection": one, "state": "unknown", "reason": _unused(platform, home, one)})
    failed = any(row["state"] != "reached" for row in rows)
    if json:
        print_json({"connections": rows, "exit_code": int(failed)})
    for row in rows if not json else ():
        console.print(f"{MARKS[row['state']]}  {row['connection']}: {row['reason']}", markup=False)
    raise typer.Exit(int(failed))


def _users(home: Home, name: str) -> Iterator[tuple[Service, str]]:
    """The services and environments in which an annotation names this connection."""
    key = annotation(home.connections.named[name].platform)
    for service in home.catalogue.services.values():
        for environment in service.environments:
            if service.reached(environment).get(key) == name:
                yield service, environment


def _unused(platform: str, home: Home, name: str) -> str:
    if any(source.connection == name for source in home.policy.graph.sources):
        return "its secrets can be read, and calls are read by it: responder graph refresh"
    return f"its secrets can be read, and no service uses it, so nothing was asked: annotate one with {annotation(platform)}"
