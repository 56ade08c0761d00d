"""Commands of the channels to people: notify test."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Annotated

import typer

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json
from sre_responder.errors import InputError
from sre_responder.ledger.audit import iso
from sre_responder.ledger.connection import Ledger
from sre_responder.model import names
from sre_responder.notify.channel import Channel
from sre_responder.notify.deliver import deliver
from sre_responder.notify.message import Delivery, Message

channels = typer.Typer(no_args_is_help=True, help="The channels to people.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(channels, name="notify")


@channels.callback()
def _notify() -> None:
    """Without a callback a group of one command would be that command."""


@channels.command()
def test(
    channel: Annotated[str | None, typer.Argument(help="Name of a channel; default is all of them.")] = None,
    json: Json = False,
) -> None:
    """Send a test message and show each answer. Pagers page, and resolve at once. Exits 1 if a channel failed."""
    here = context()
    known = here.home.policy.notifications
    chosen = [one for one in known if channel in (None, one.name)]
    if not chosen:
        raise InputError(
            "the policy has no notification channels."
            if channel is None
            else f"channel '{names.shown(channel)}' is not in the policy.",
            cure=f"Use one of {', '.join(one.name for one in known)}."
            if known
            else f"Add one under notifications in {here.home.folder / 'policy.yml'}; `responder init` writes examples.",
        )
    results = tried(here.ledger, chosen)
    if json:
        print_json([asdict(one) for one in results])
    for one in results if not json else ():
        said = f"delivered: {one.reason or 'no words'}" if one.delivered else one.reason
        console.print(f"{'ok' if one.delivered else '--':<3} {one.channel}: {said}", markup=False)
    raise typer.Exit(0 if all(one.delivered for one in results) else 1)


def tried(ledger: Ledger, chosen: list[Channel]) -> list[Delivery]:
    """What became of a test message on each channel; a pager also has to resolve what it opened."""
    matter = f"responder-test-{secrets.token_hex(3)}"
    message = Message(
        id=0,
        at=iso(ledger.clock()),
        incident=None,
        type="notify.test",
        summary="This is a test of Responder's notifications. Nothing is wrong.",
        data={"stop": matter},
        audience="on_call",
    )
    over = message.model_copy(update={"type": "notify.tested", "summary": "The test is over."})
    results = []
    for one in chosen:
        [result] = deliver([message], [one])
        if one.pages and result.delivered:
            [result] = deliver([over], [one])
        results.append(result)
    return results
