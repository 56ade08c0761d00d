"""Commands about alerts: what one would become here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from sre_responder.cli.context import context
from sre_responder.cli.given import given_text
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.intake import alertmanager, groups
from sre_responder.intake.alertmanager import Alert
from sre_responder.intake.groups import Meaning

alerts = typer.Typer(no_args_is_help=True, help="Alerts as this home understands them.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(alerts, name="alerts")


@alerts.command("try")
def try_(
    file: Annotated[str, typer.Argument(help="File of an Alertmanager webhook, or - for standard input.")],
    json: Json = False,
) -> None:
    """Show what each alert would become, and why a runbook matches or does not. Opens and runs nothing."""
    home = context().home
    webhook = alertmanager.parse(given_text(file, alertmanager.BYTES_LIMIT))
    reader = groups.reader(home)
    rows = [_tried(home, reader, position, alert) for position, alert in webhook.alerts.items()]
    problems = [vars(problem) for problem in webhook.problems]
    if json:
        print_json({"alerts": rows, "problems": problems, "truncated": webhook.truncated})
    else:
        for row in rows:
            _print(row)
        for problem in webhook.problems:
            say(str(problem))
    unusable = [row for row in rows if row["problem"] and row["status"] == "firing"]
    raise typer.Exit(2 if problems or unusable else 0)


def _tried(home: Home, reader: Callable[[int, Alert], Meaning], position: int, alert: Alert) -> dict[str, Any]:
    row: dict[str, Any] = {
        "position": position, "alert": alertmanager.named(alert.model_dump()), "status": alert.status, "title": alert.title,
        "service": None, "environment": None, "severity": None, "runbook": None, "problem": None,
        "runbooks": [
            {"id": id, "alerts": expression, "matches": matches}
            for id, expression, matches in groups.matches([*home.runbooks], alert.as_jmespath())
        ],
    }  # fmt: skip
    try:
        means = reader(position, alert)
    except InputError as error:
        return {**row, "problem": str(error)}
    found = {"service": means.service, "environment": means.environment, "severity": means.severity}
    return {**row, **found, "runbook": means.runbook.metadata.id}


def _print(row: dict[str, Any]) -> None:
    def out(text: str) -> None:
        console.print(text, markup=False)

    out(f"Alert {row['position']} ({row['alert']}), {row['status']}: {row['title']}")
    if row["status"] == "resolved":
        out("  is resolved: nothing would be done")
        return
    if row["problem"]:
        out(f"  cannot be used: {row['problem']}")
    else:
        out(f"  would open or join an incident of {row['service']} in {row['environment']} at {row['severity']}")
    books = row["runbooks"]
    for book in books if row["problem"] else [book for book in books if book["matches"]]:
        out(f"  runbook {book['id']}: {book['alerts']} is {'true' if book['matches'] else 'not true'}")
