"""How a demo tells its story: titles, lines, the timeline of an incident. On stderr."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.markup import escape

from sre_responder.cli.output import error_console
from sre_responder.cli.running import at
from sre_responder.ledger import audit


def title(text: str) -> None:
    error_console.print(f"\n[bold]{escape(text)}[/]")


def line(text: str) -> None:
    for one in textwrap.wrap(text, max(error_console.width - 2, 40), break_long_words=False, break_on_hyphens=False):
        error_console.print(f"  {escape(one)}", soft_wrap=True)


def timeline(entries: Iterable[audit.Entry]) -> None:
    line("Timeline:")
    for entry in entries:
        error_console.print(
            f"    [dim]{at(entry.at)}[/] {escape(entry.type):<18} {escape(entry.summary)}",
            no_wrap=True,
            overflow="ellipsis",
            crop=True,
            soft_wrap=False,
        )
