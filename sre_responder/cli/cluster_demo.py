"""`responder demo --kubernetes`: a bad rollout on a cluster that the user names, and the way back; first a preview."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import typer

from sre_responder import home as homes
from sre_responder.cli.output import print_json, say
from sre_responder.cli.progress import Progress
from sre_responder.cli.story import line, timeline, title
from sre_responder.engine.run import climb
from sre_responder.errors import InputError
from sre_responder.incident import times
from sre_responder.lab import kubernetes as shop
from sre_responder.ledger import Ledger, audit, incidents


def demo(context: str, kubeconfig: Path | None, yes: bool, json: bool) -> NoReturn:
    """Say what will be done; with `yes` do it, and leave nothing."""
    if not context:
        raise InputError(
            "the demo on Kubernetes changes a cluster, and none is named.",
            cure="Add --context; `kubectl config get-contexts` lists them.",
        )
    where: dict[str, Any] = {"context": context, **({"kubeconfig": str(kubeconfig)} if kubeconfig else {})}
    steps = shop.preview(where)
    title(f"What this will do to the cluster of context {context}")
    for number, step in enumerate(steps, 1):
        line(f"{number}. {step}")
    if not yes:
        say("Nothing was done. Add --yes to do it.")
        raise typer.Exit(0)
    with tempfile.TemporaryDirectory(prefix="sre-") as name:
        folder, before = Path(name), dict(os.environ)
        shop.write_home(folder, where)
        os.environ |= {"RESPONDER_HOME": str(folder / "home"), "RESPONDER_LEDGER": f"sqlite:///{folder / 'ledger.db'}"}
        try:
            title("The shop starts")
            shop.up(where)
            result = _heal(where)
        finally:
            title("The namespace is removed")
            left = shop.down(where)
            os.environ.clear()
            os.environ.update(before)
    if json:
        print_json({"faults": [{**result, "leftovers": left}]})
    title(f"{'Healed' if result['healed'] else 'Not healed'}; left behind: {', '.join(left) or 'nothing'}")
    raise typer.Exit(0 if result["healed"] and result["audit_ok"] and not left else 1)


def _heal(where: dict[str, Any]) -> dict[str, Any]:
    """From the bad release to the verdict."""
    home = homes.find()
    ledger, runbook = Ledger(home.ledger_url), home.runbooks.named(shop.RUNBOOK)
    title(f"Fault: {shop.BAD} is released")
    began = time.time()
    shop.release_bad(where)
    line("Its first pod cannot pull the image; the rollout is stuck")
    with ledger.transaction() as connection:
        number, _ = incidents.open_(
            connection, ledger.now(connection), service=shop.SERVICE, environment="staging", severity="SEV3",
            title="A rollout is stuck", actor="demo", started_at=began,
        )  # fmt: skip
    line(f"{number} is opened; runbook {runbook.metadata.id}")
    with Progress(runbook, home.policy) as progress:
        outcome = climb(
            home, ledger, runbook, incident=number, service=shop.SERVICE, environment="staging", on_entry=progress.entry
        )
    with ledger.transaction(reading=True) as connection:
        entries = list(audit.entries(connection, incident=number))
    healing = [entry for entry in entries if entry.type == "action.ended" and entry.data["outcome"] == "improved"]
    timeline(entries)
    line(f"{outcome.ending}: {outcome.message}")
    return {
        "fault": "bad-rollout",
        "healed": outcome.exit_code == 0 and bool(healing),
        "rung": healing[-1].data["rung"] if healing else None,
        "actions": sum(entry.type == "action.started" for entry in entries),
        "refusals": sum(entry.type == "gate.blocked" for entry in entries),
        **times.seconds(entries, began),
        "audit_ok": audit.verify(ledger).ok,
    }
