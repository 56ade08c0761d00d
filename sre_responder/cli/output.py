"""How every command speaks: JSON or text to stdout, messages to stderr."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

console = Console(highlight=False, emoji=False, soft_wrap=True)
error_console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def print_json(value: Any) -> None:
    """One JSON document on stdout, never wrapped or coloured."""
    print(json.dumps(value, indent=2, default=str))


def say(text: str) -> None:
    """A message to the person, on stderr."""
    error_console.print(text, markup=False)
