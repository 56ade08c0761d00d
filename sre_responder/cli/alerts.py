"""Commands about alerts: what became of those that were received, and what one would become here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.running import at, read_alerts
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.intake import groups
from sre_responder.intake.alert import Alert, named
from sre_responder.intake.groups import Meaning
from sre_responder.intake.verdict import Outcome
from sre_responder.ledger import alerts as ledger_alerts
from sre_responder.ledger import jobs
from sre_responder.ledger.audit import iso
from sre_responder.model.names import shown

alerts = typer.Typer(invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(alerts, name="alerts")


@alerts.callback()
def list_(
    ctx: typer.Context,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="Only those that were started, joined, paged, refused or ignored.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many, the newest first.")] = 20,
    json: Json = False,
) -> None:
    """What became of each alert that `responder serve` received, the queue, and the sum: exits 1 if an alert was lost."""
    if ctx.invoked_subcommand is not None:
        return
    if outcome not in (None, *get_args(Outcome)):
        raise InputError(
            f"'{shown(outcome)}' is not an outcome of an alert.", cure=f"Use one of {', '.join(get_args(Outcome))}."
        )
    with context().ledger.transaction(reading=True) as connection:
        totals, counts = ledger_alerts.totals(connection), ledger_alerts.counts(connection)
        rows, queue = ledger_alerts.recent(connection, limit, outcome), jobs.open_now(connection)
    if json:
        print_json(
            {
                "received": totals.received,
                "repeated": totals.repeated, "ended": totals.ended, "lost": totals.lost,
                "turned_away": [dict(row._mapping) for row in counts],
                "queue": [dict(row._mapping) for row in queue],
                "alerts": [dict(row._mapping) for row in rows],
            }
        )  # fmt: skip
    else:
        _print_list(rows, queue, counts)
        ended = ", ".join(f"{count} {name}" for name, count in sorted(totals.ended.items())) or "none"
        say(f"Received {totals.received}: {ended}, {totals.repeated} repeated; lost {totals.lost}.")
    raise typer.Exit(1 if totals.lost else 0)


def _print_list(rows: list[Any], queue: list[Any], counts: list[Any]) -> None:
    def out(text: str) -> None:
        console.print(text, markup=False)

    for row in rows:
        times = f", reported {row.times} times" if row.times > 1 else ""
        over = "" if row.ends_at is None else ", over"
        out(f"{at(iso(row.last_at))} {row.outcome:<8} {row.alert}{over}{times} ({row.sender})")
        out(f"         {shown(row.reason, 600)}")
    for row in queue:
        state = "runs" if row.holder else "waits"
        out(
            f"job {row.id} {state}: {row.runbook} for {row.incident}, {row.severity} {row.service} in {row.environment}"
        )
    for row in counts:
        out(f"{row.count} requests answered {row.name}, the last {at(iso(row.last_at))}: {row.last}")


@alerts.command("try")
def try_(
    file: Annotated[
        str,
        typer.Argument(
            help="File of a webhook (Alertmanager, Grafana, CloudEvents, PagerDuty), or - for standard input."
        ),
    ],
    json: Json = False,
) -> None:
    """Show what each alert would become, and why a runbook matches or does not. Opens and runs nothing."""
    home = context().home
    webhook = read_alerts(home, file)
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
        "position": position, "alert": named(alert.model_dump()), "status": alert.status, "title": alert.title,
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
