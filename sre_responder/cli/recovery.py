"""Commands after the fact: settle an unknown outcome, undo an attempt, judge what nobody could judge."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from sre_responder.cli.context import context
from sre_responder.cli.output import LARGEST, Json, print_json, say
from sre_responder.errors import InputError, ResponderError
from sre_responder.recovery import restore, settling, watching

WATCH_SECONDS = 5
"""How long `watch` rests between two looks."""


def add_to(app: typer.Typer) -> None:
    app.command("settle")(settle)
    app.command("undo")(undo)
    app.command("watch")(watch)


def settle(
    target: Annotated[str, typer.Argument(help="The frozen target, as `responder status` names it.")],
    verified: Annotated[
        bool, typer.Option("--verified", help="You have checked the target yourself and it is correct.")
    ] = False,
    json: Json = False,
) -> None:
    """Find out by a read-only probe what an action of unknown outcome did, and unfreeze its target."""
    here = context()
    settled = settling.settle(here.home, here.ledger, target, verified=verified)
    if json:
        print_json(settled)
    else:
        say(f"{target}: {settled['how']}. It is no longer frozen; run the runbook again.")


def undo(
    attempt: Annotated[int | None, typer.Argument(help="The attempt's number.", min=1, max=LARGEST)] = None,
    due: Annotated[
        bool, typer.Option("--due", help="All that was contained for a time which is over; for a timer.")
    ] = False,
    verified: Annotated[
        bool,
        typer.Option("--verified", help="You undid it by hand, or its target is gone: only the record is changed."),
    ] = False,
    confirm_production: Annotated[bool, typer.Option("--confirm-production", help="Yes, this is production.")] = False,
    json: Json = False,
) -> None:
    """Restore the state before an attempt: a guarded step itself, by the playbook that was written before it."""
    here = context()
    left: list[ResponderError] = []
    if due == (attempt is not None):
        raise InputError("undo needs the number of one attempt, or --due.", cure="See `responder contained`.")
    if attempt is not None and verified:
        undone = restore.undone_by_hand(here.home, here.ledger, attempt)
    elif attempt is None:
        undone, left = restore.end_due(here.home, here.ledger)
    else:
        undone = restore.restore(here.home, here.ledger, attempt, confirm_production=confirm_production)
    if json:
        print_json({"attempt": attempt, "undone": undone, "left": [str(error) for error in left]})
    else:
        say(f"Undone: {', '.join(undone) or 'nothing'}")
    if left:
        raise left[0]


def watch(
    once: Annotated[bool, typer.Option("--once", help="Look once and end; for a timer.")] = False,
    json: Json = False,
) -> None:
    """Judge remediations whose run died before it knew whether they helped, and undo those that made nothing better."""
    while True:
        try:
            here = context()  # anew: home and ledger may have changed
            for one in watching.carry_on(here.home, here.ledger):
                if json:
                    print_json(asdict(one))
                else:
                    undone = ", undone" if one.undone else ""
                    say(f"Attempt {one.attempt}: {one.outcome.replace('_', ' ')}{undone} ({one.reason}).")
            here.deliver()
        except ResponderError as error:
            if once:
                raise
            say(str(error))
        if once:
            return
        time.sleep(WATCH_SECONDS)
