"""Commands of the lab: demo, and the lab by hand."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sre_responder import home as homes
from sre_responder.approvals import sign_off
from sre_responder.cli import cluster_demo
from sre_responder.cli.output import Json, done, print_json, say
from sre_responder.cli.progress import Progress
from sre_responder.cli.story import line, timeline, title
from sre_responder.engine.health import Health
from sre_responder.engine.run import climb
from sre_responder.errors import EffectFailed
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.incident import times
from sre_responder.intake import groups, sources
from sre_responder.lab import sandbox as lab
from sre_responder.lab.lab import Lab
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.model.actions import UNDO

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where the lab lives; default is a folder of yours under the temporary one."),
]
commands = typer.Typer(no_args_is_help=True, help="The lab by hand: a small shop to break and to heal.")


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)
    app.add_typer(commands, name="lab")


@commands.command()
def up(folder: Folder = None, json: Json = False) -> None:
    """Start the shop and print all that one needs to try things on it."""
    started = lab.up(folder or lab.default_folder())
    if json:
        print_json(lab.status(started))
        return
    say(f"The shop answers at {started.edge_url}; incident {started.incident} is open. To use its home:")
    print(f"export RESPONDER_HOME={shlex.quote(str(started.home))} RESPONDER_LEDGER={shlex.quote(started.ledger)}")


@commands.command()
def down(folder: Folder = None, json: Json = False) -> None:
    """End every process of the lab and remove its folder."""
    left = lab.down(folder or lab.default_folder())
    if json:
        print_json({"left": left})
    if left:
        raise EffectFailed(f"left behind: {', '.join(left)}.", cure="End them by hand.")
    say("Nothing is left.")


@commands.command("break")
def break_(
    fault: Annotated[str, typer.Argument(help="cache, process, release or region.")],
    environment: Annotated[str, typer.Option(help="In which the shop is from now on.")] = "staging",
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Inject one fault."""
    here = lab.load(folder or lab.default_folder())
    record = lab.break_(here, fault, environment)
    if json:
        print_json(record)
    say(f"Broken. The alert will be written to {here.folder / 'alerts' / (record['id'] + '.json')}")


@commands.command()
def heal(folder: Folder = None, json: Json = False) -> None:
    """Put the shop back as it was."""
    place = folder or lab.default_folder()
    lab.heal(lab.load(place))
    done(json, "The shop is as it was.", folder=str(place))


@commands.command()
def status(folder: Folder = None, json: Json = False) -> None:
    """The shop as it is now."""
    found = lab.status(lab.load(folder or lab.default_folder()))
    if json:
        print_json(found)
        return
    for name in ("success_rate", "fault", "releases", "programs", "home", "ledger"):
        print(f"{name}: {found[name]}")


def demo(
    fault: Annotated[str, typer.Option("--fault", help="cache, process, release or region.")] = "cache",
    all: Annotated[bool, typer.Option("--all", help="All four faults, one after the other.")] = False,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="On a cluster: a bad rollout, and the way back.")
    ] = False,
    context: Annotated[str, typer.Option(help="With --kubernetes: the context of the kubeconfig to use.")] = "",
    kubeconfig: Annotated[Path | None, typer.Option(help="With --kubernetes: the kubeconfig file.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --kubernetes: do what the preview says.")] = False,
    json: Json = False,
) -> None:
    """Break the shop, let the alert fire, and climb until the evidence says healed.

    With --kubernetes it first says what it would do to the cluster, and does it with --yes alone.
    """
    if kubernetes:
        cluster_demo.demo(context, kubeconfig, yes, json)
    folder = Path(tempfile.mkdtemp(prefix="sre-"))
    shutil.rmtree(folder)
    before = {name: os.environ.get(name) for name in ("RESPONDER_HOME", "RESPONDER_LEDGER")}
    results: list[dict[str, Any]] = []
    try:
        title("A small shop of real processes starts")
        here = lab.up(folder)
        os.environ |= {"RESPONDER_HOME": str(here.home), "RESPONDER_LEDGER": here.ledger}
        home, ledger = homes.find(), Ledger(here.ledger)
        for number, name in enumerate(lab.FAULTS if all else (fault,)):
            if number:
                _recover(here, home, ledger, home.runbooks.named("service-errors"))
            results.append(_one(here, ledger, name))
    finally:
        left = lab.down(folder)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    for result in results:
        result["leftovers"] = left
    if json:
        print_json({"faults": results})
    healed = all_healed(results)
    title(f"{'Healed' if healed else 'Not healed'}; left behind: {', '.join(left) or 'nothing'}")
    raise typer.Exit(0 if healed and not left else 1)


def all_healed(results: list[dict[str, Any]]) -> bool:
    """Whether every fault healed at its own rung with a whole record."""
    return bool(results) and all(r["healed"] and r["audit_ok"] and r["rung"] == lab.RUNGS[r["fault"]] for r in results)


def _one(here: Lab, ledger: Ledger, fault: str) -> dict[str, Any]:
    """One fault from its injection to the verdict."""
    environment = "production" if fault == "release" else "staging"
    title(f"Fault: {fault} ({environment})")
    record = lab.break_(here, fault, environment)
    home = homes.find()  # the catalogue now gives the shop this environment
    found = sources.parse(lab.await_alert(here, record["id"]).read_text()).alerts[1]
    line(f"The alert fires: {found.title}")
    means = groups.reader(home)(1, found)
    runbook, severity = means.runbook, means.severity
    with ledger.transaction() as connection:
        number, _ = incidents.open_(
            connection, ledger.now(connection), service=means.service, environment=environment, severity=severity,
            title=found.title, actor="alert", failure_class=runbook.metadata.failure_class, started_at=record["at"],
        )  # fmt: skip
    rungs = " → ".join(step.name.lower() for step in runbook.steps)
    line(f"{number} is opened at {severity}; runbook {runbook.metadata.id}: {rungs}")
    if environment == "production":
        home_key = here.home / "keys" / "dana"
        sign_off.attest(
            home, ledger, runbook.metadata.id, home.people.named("dana"), home_key, "the demo's own word, openly"
        )
        line(
            "Production asks for a tested procedure: demo operator dana attests this runbook (openly; nothing was measured yet)"
        )
    outcome, refusals = None, 0
    for _ in range(3):
        with Progress(runbook, home.policy) as progress:
            outcome = climb(
                home, ledger, runbook, incident=number, service=here.service, environment=environment,
                confirm_production=environment == "production", on_entry=progress.entry, on_tick=progress.tick,
            )  # fmt: skip
        waits = [step for step in outcome.steps if step["result"] == "refused"]
        refusals += len(waits)
        if outcome.exit_code != 3 or not waits or not waits[-1]["plan"]:
            break
        plan = waits[-1]["plan"]
        line(f"A person decides: responder approve {plan[:12]} --as iris")
        sign_off.decide(
            home, ledger, plan, home.people.named("iris"), here.home / "keys" / "iris", "grant", "seen in the demo"
        )
        line("iris approved this exact plan with an SSH key; the runbook runs again and resumes where it left off")
    assert outcome is not None
    verdict = audit.verify(ledger)
    with ledger.transaction(reading=True) as connection:
        entries = list(audit.entries(connection, incident=number))
    measured = times.seconds(entries, record["at"])
    healing = [e for e in entries if e.type == "action.ended" and e.data["outcome"] == "improved"]
    timeline(entries)
    line(f"{outcome.ending}: {outcome.message}. The shop's success rate is {lab.rate(here)}")
    line(f"Record: {verdict.entries} entries, {'whole' if verdict.ok else verdict.reason}")
    line(
        "From the failure: "
        + ", ".join(
            f"{label} {measured[key]} s"
            for label, key in (
                ("detected (MTTD)", "mttd_s"),
                ("acknowledged (MTTA)", "mtta_s"),
                ("healed (MTTR)", "mttr_s"),
            )
        )
    )
    return {
        "fault": fault,
        "healed": outcome.exit_code == 0 and bool(healing),
        "rung": healing[-1].data["rung"] if healing else None,
        "actions": sum(e.type == "action.started" and e.data["action"] != UNDO.name for e in entries),
        "refusals": refusals,
        **measured,
        "audit_ok": verdict.ok,
    }


def _recover(here: Lab, home: Home, ledger: Ledger, runbook: Runbook) -> None:
    """Put the shop back and measure that it is healthy for the policy's period, so that counts start anew."""
    lab.heal(here)
    [environment] = home.catalogue.service(here.service).environments
    until = time.monotonic() + home.policy.loop.healthy_seconds + 0.2
    while time.monotonic() < until:
        Health(home, ledger, runbook, here.service, environment).now()
