"""How every command speaks: JSON or text to stdout, messages to stderr. Output never decides over what is done."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console

_lost: list[str] = []
"""Why results could not be written; a reader that went away on purpose is not among it."""


class _Console(Console):
    """A console whose reader may go away, or whose disk may be full, while a run is at work."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except (OSError, ValueError) as error:
            if not self.stderr:
                _note(error)

    def on_broken_pipe(self) -> None:
        """Go on: Rich would end the process here."""


console = _Console(highlight=False, emoji=False, soft_wrap=True)
error_console = _Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

LARGEST = 2**31 - 1
"""What a database takes as a number."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def print_json(value: Any) -> None:
    """One JSON document on stdout, never wrapped or coloured."""
    try:
        print(json.dumps(value, indent=2, default=str), flush=True)
    except (OSError, ValueError) as error:
        _note(error)


def print_bytes(value: bytes) -> None:
    """What a program reads on stdout, in its own encoding whatever the locale."""
    try:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        _note(error)


def say(text: str) -> None:
    """A message to the person, on stderr."""
    error_console.print(text, markup=False)


def done(json: bool, text: str, **facts: Any) -> None:
    """What a command did: its facts on stdout for a program, or a sentence for a person."""
    if json:
        print_json(facts)
    else:
        say(text)


def _note(error: OSError | ValueError) -> None:
    if getattr(error, "errno", None) != errno.EPIPE:
        _lost.append(str(getattr(error, "strerror", None) or error))


def open_streams() -> None:
    """Put something behind a standard stream that was closed, so that no file that is opened later takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            if name != "stdin":
                setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without a sign for it loses no message


def close_streams() -> str:
    """Write what is left; gives why a result could not be written, empty where it was."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if stream is sys.stdout:
                _note(error)
            with suppress(OSError, ValueError):  # what stays in its buffer would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    why = _lost[0] if _lost else ""
    _lost.clear()
    return why
