"""Commands after the fact: settle an unknown outcome, undo an attempt."""

from __future__ import annotations

from typing import Annotated

import typer

from sre_responder import restore, settling
from sre_responder.cli.context import context
from sre_responder.cli.output import Json, print_json, say


def add_to(app: typer.Typer) -> None:
    app.command("settle")(settle)
    app.command("undo")(undo)


def settle(
    target: Annotated[str, typer.Argument(help="The frozen target, as `responder status` names it.")],
    looked: Annotated[
        bool, typer.Option("--looked", help="You looked at the target yourself, and it is as it should be.")
    ] = False,
    json: Json = False,
) -> None:
    """Find out by a read-only probe what an action of unknown outcome did, and unfreeze its target."""
    here = context()
    settled = settling.settle(here.home, here.ledger, target, looked=looked)
    if json:
        print_json(settled)
    else:
        say(f"{target}: {settled['how']}. It is no longer frozen; run the runbook again.")


def undo(
    attempt: Annotated[int, typer.Argument(help="The attempt's number.")],
    confirm_production: Annotated[bool, typer.Option("--confirm-production", help="Yes, this is production.")] = False,
    json: Json = False,
) -> None:
    """Restore the state before an attempt: a guarded step itself, by the playbook that was written before it."""
    here = context()
    undone = restore.restore(here.home, here.ledger, attempt, confirm_production=confirm_production)
    if json:
        print_json({"attempt": attempt, "undone": undone})
    else:
        say(f"Undone: {', '.join(undone)}")
