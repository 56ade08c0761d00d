"""Commands that run runbooks: respond, run, plan."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from sre_responder.cli.context import Context, context
from sre_responder.cli.given import given_text
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.cli.progress import Progress
from sre_responder.engine.conclusion import Outcome
from sre_responder.engine.run import climb
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import Runbook
from sre_responder.intake import groups, plain, sources
from sre_responder.intake.alert import BYTES_LIMIT, Webhook
from sre_responder.ledger import audit, foreseen, incidents, plans
from sre_responder.lint import classify
from sre_responder.model import names

Incident = Annotated[str, typer.Option("--incident", help="The incident's number, INC-1234.")]
Service = Annotated[str | None, typer.Option("--service", help="A service; default is that of the incident.")]
Environment = Annotated[
    str | None, typer.Option("--environment", help="Where it runs; default is the environment of the incident.")
]
Confirm = Annotated[bool, typer.Option("--confirm-production", help="Yes, this is production.")]
Wait = Annotated[str, typer.Option("--wait", help="Wait up to this long for approval (90s, 15m), then continue.")]

_SHOWN_PROBLEMS = 10


def add_to(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("respond")(respond)
    app.command("plan")(plan)


def seconds(text: str) -> float:
    """`90s`, `15m`, `2h` or plain seconds."""
    found = re.fullmatch(r"([0-9]{1,6})([smh]?)", text, re.ASCII)
    if found is None:
        raise InputError(f"'{names.shown(text)}' is not a duration.", cure="Write 90s, 15m or 2h.")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def run(
    runbook: Annotated[str, typer.Argument(help="Id of a registered runbook; see `responder runbooks`.")],
    incident: Incident,
    service: Service = None,
    environment: Environment = None,
    confirm_production: Confirm = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; show what would be done.")] = False,
    wait: Wait = "0s",
    json: Json = False,
) -> None:
    """Run one runbook until the service is measured healthy, a gate refuses, or a person must take over.

    \b
    responder run service-errors --incident INC-00012 --check
    responder run service-errors --incident INC-00012 --wait 15m
    """
    here = context()
    service, environment = _about(here, incident, service, environment)
    outcome = _climb(
        here,
        here.home.runbooks.named(runbook),
        incident,
        service,
        environment,
        confirm_production,
        check,
        seconds(wait),
    )
    if not check and not outcome.interrupted:
        _end_what_is_over(here, service)
    _tell(outcome, json)


def _about(here: Context, incident: str, service: str | None, environment: str | None) -> tuple[str, str]:
    """The service and environment that were given, else those of the incident."""
    names.incident(incident)
    if service is None or environment is None:
        with here.ledger.transaction(reading=True) as connection:
            row = incidents.get(connection, incident)
        if row is None:
            raise InputError(
                f"incident {incident} is not in the ledger, so its service and environment are not known.",
                cure="Add --service and --environment, or open it: responder incident open --help",
            )
        service, environment = service or row.service, environment or row.environment
    return str(service), str(environment)


def respond(
    alert: Annotated[
        str,
        typer.Option(
            "--alert",
            help="File of a webhook (Alertmanager, Grafana, CloudEvents, PagerDuty), or - for standard input.",
        ),
    ],
    confirm_production: Confirm = False,
    wait: Wait = "0s",
    json: Json = False,
) -> None:
    """Read an alert, open or join its incident, pick the runbook that serves it, and run it; once for each service."""
    here = context()
    webhook = read_alerts(here.home, alert)
    found, problems = groups.understood(webhook, groups.reader(here.home), confirmed=confirm_production)
    for problem in problems[:_SHOWN_PROBLEMS]:
        say(str(problem))
    if len(problems) > _SHOWN_PROBLEMS:
        say(f"{len(problems) - _SHOWN_PROBLEMS} more alerts cannot be used; --json lists them.")
    if webhook.truncated:
        say(f"Alertmanager left {webhook.truncated} more alerts of this group out (truncatedAlerts).")
    outcomes = list[Outcome]()
    for group in found:
        outcomes.append(_respond(here, group, webhook.truncated, seconds(wait)))
        if outcomes[-1].interrupted:
            say(f"Interrupted; {len(found) - len(outcomes)} more services of this alert were not begun.")
            break
    else:
        _end_what_is_over(here, *(group.worst.service for group in found))
    not_used = {"problems": [vars(problem) for problem in problems], "truncated": webhook.truncated}
    if outcomes:
        worst = max(outcomes, key=lambda outcome: outcome.exit_code)
        # One alert that cannot be used does not stop the others, and the run's good end does not hide it.
        _tell(worst, json, outcomes, code=max(worst.exit_code, 2 if problems else 0), **not_used)
    if not problems:
        say("Every alert is resolved; nothing to do.")
    if json:
        ending, code = ("bad_input", 2) if problems else ("resolved", 0)
        print_json({"ending": ending, "exit_code": code, **not_used})
    raise typer.Exit(2 if problems else 0)


def read_alerts(home: Home, name: str) -> Webhook:
    """The alerts of a file, or of standard input for `-`, as `responder serve` would read them."""
    return sources.parse(given_text(name, BYTES_LIMIT), plain=partial(plain.read, home.policy.serve.mapping))


def _respond(here: Context, group: groups.Group, truncated: int, patience: float) -> Outcome:
    """Open or join the incident of one symptom, and run its runbook."""
    worst, began = group.worst, group.started_at
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        number, new = incidents.open_(
            connection, now, service=worst.service, environment=worst.environment, severity=worst.severity,
            title=worst.alert.title, actor="alert", failure_class=worst.runbook.metadata.failure_class,
            started_at=began.timestamp() if began else None,
        )  # fmt: skip
        firing = len(group.meanings)
        told = f"{firing} firing alert{'' if firing == 1 else 's'}"
        left_out = f"; {truncated} more were left out by Alertmanager" if truncated else ""
        audit.append(
            connection, now, "alert.received", "alert", told + left_out, incident=number, alerts=firing, truncated=truncated,
        )  # fmt: skip
    say(f"{number} {'opened' if new else 'joined'}: {names.shown(worst.alert.title)}")
    production = worst.environment == "production"  # confirmed, or it would not have come here
    return _climb(here, worst.runbook, number, worst.service, worst.environment, production, False, patience)


def _climb(
    here: Context,
    runbook: Runbook,
    incident: str,
    service: str,
    environment: str,
    confirm: bool,
    check: bool,
    patience: float,
) -> Outcome:
    """Run, and while approvals are waited for, run again when they are given; a denial or the end of patience ends it."""
    names.incident(incident)
    names.environment(environment)
    until = time.monotonic() + patience
    while True:
        with Progress(runbook, here.home.policy) as progress:
            outcome = climb(
                here.home, here.ledger, runbook, incident=incident, service=service, environment=environment,
                confirm_production=confirm, check=check, on_entry=progress.entry, on_tick=progress.tick,
            )  # fmt: skip
        waiting = [step["plan"] for step in outcome.steps if step["result"] == "refused" and step["waits"]]
        if outcome.exit_code != 3 or not waiting or not patience:
            return outcome
        short = waiting[-1][:12]
        say(f"Waiting for approval of plan {short}: responder approve {short}")
        if not _approved(here, waiting[-1], until):
            return replace(outcome, ending="denied", message=f"plan {short} was not approved; no answer is a denial")


def _end_what_is_over(here: Context, *services: str) -> None:
    """Where nobody set a timer, a run ends what others contained for a time, once it has healed its own services: no remedy
    waits for that."""
    with here.ledger.transaction(reading=True) as connection:
        if not foreseen.due(connection, here.ledger.now(connection)):
            return
    from sre_responder.recovery.restore import end_due  # with all that acts, which is seldom needed here

    ended, left = end_due(here.home, here.ledger, but=services)
    for word in (*(f"{target}: its time was over, undone." for target in ended), *map(str, left)):
        say(word)


def _approved(here: Context, plan: str, until: float) -> bool:
    """Wait until as many people approved a plan as its refusal asked for. A denial ends it, and so does the end of patience."""
    while time.monotonic() < until:
        with here.ledger.transaction(reading=True) as connection:
            asked = plans.find(connection, plan)
            granted, denied = plans.decided(connection, plan)
        if denied:
            return False
        if len(granted) >= plans.needed(asked):
            return True
        time.sleep(0.5)
    return False


def _tell(outcome: Outcome, json: bool, all: Sequence[Outcome] = (), *, code: int | None = None, **more: Any) -> None:
    """The outcome, the worst where an alert led to several, and the exit code that it has, or a worse `code`."""
    code = outcome.exit_code if code is None else code
    if json:
        runs = {"runs": [one.as_dict() for one in all]} if len(all) > 1 else {}
        print_json({**outcome.as_dict(), **runs, **more, "exit_code": code})
    else:
        console.print(f"{outcome.ending}: {outcome.message}", markup=False)
    raise typer.Exit(code)


def plan(
    runbook: Annotated[str, typer.Argument(help="Id of a runbook.")],
    incident: Incident,
    service: Service = None,
    environment: Environment = None,
    confirm_production: Confirm = False,
    json: Json = False,
) -> None:
    """Preview: each task mutates, reads or is undetermined; the gates as they stand now; approvals it will need; the radius."""
    here = context()
    chosen = here.home.runbooks.named(runbook)
    service, environment = _about(here, incident, service, environment)
    doubts = here.home.catalogue.service(service).doubts
    doubts += tuple(
        f"approvals.standing in policy.yml: {names.shown(digest)} is the digest of no registered runbook. See responder doctor."
        for digest in here.home.runbooks.unknown(here.home.policy.approvals.standing)
    )
    outcome = climb(
        here.home, here.ledger, chosen, incident=incident, service=service, environment=names.environment(environment),
        confirm_production=confirm_production, check=True,
    )  # fmt: skip
    with here.ledger.transaction(reading=True) as connection:
        previews = [
            entry.data
            for entry in audit.entries(connection, incident=incident, type="plan.made")
            if entry.data["run"] == outcome.run
        ]
        waiting = [row.digest[:12] for row in plans.waiting(connection) if row.incident == incident]
        radius = here.home.radius(service, here.ledger.now(connection))
    steps = [_described(task, previews, here.home.policy) for task in chosen.tasks]
    if json:
        print_json(
            {
                "runbook": runbook,
                "digest": chosen.digest,
                "radius": radius.as_dict(),
                "steps": steps,
                "waiting": waiting,
                "message": outcome.message,
                "doubts": doubts,
            }
        )
        return
    console.print(
        f"{runbook} (digest {chosen.digest[:12]}) on {service} in {environment}; {radius}",
        markup=False,
    )
    if radius.unknown:
        say(f"warning: it is not known who calls {service}: {radius.unknown}. Run: responder graph refresh")
    for doubt in doubts:
        say(f"warning: {doubt}")
    for step in steps:
        rung = f"rung {step['rung']}" if step["rung"] is not None else ""
        console.print(f"  line {step['line']:>3}  {step['class']:<12} {rung:<7} {step['name']}", markup=False)
        if step["skipped"]:
            console.print(f"            would be skipped ({step['skipped']}): {step['because']}", markup=False)
        for warning in step["warnings"]:
            console.print(f"            warning: {names.shown(warning, 400)}", markup=False, soft_wrap=True)
        for gate in step["gates"]:
            if gate["status"] in ("failed", "unknown") or gate["name"] == "radius":
                console.print(f"            {gate['name']} {gate['status']}: {gate['reason']}", markup=False)
    if outcome.exit_code == 1:
        say(f"The preview ended before its time: {outcome.message}")
        raise typer.Exit(1)


def _described(task: Any, previews: list[dict[str, Any]], policy: Policy) -> dict[str, Any]:
    spec = policy.action(task.action) if task.action else None
    made = next((p for p in previews if p["step"] == task.digest), {})
    return {
        "name": task.name, "module": task.module, "line": task.line, "class": classify(task),
        "rung": spec.rung if spec else None,
        "plan": made.get("plan"), "skipped": made.get("skipped"), "because": made.get("because"), "gates": made.get("gates", []),
        "warnings": made.get("warnings", []),
    }  # fmt: skip


def at(text: str) -> str:
    """The time of day of an entry, for people."""
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")
