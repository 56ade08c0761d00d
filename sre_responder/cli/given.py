"""Text that a command is given: a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from sre_responder.errors import InputError
from sre_responder.model.names import shown


def given_text(name: str, limit: int) -> str:
    """The text of a file, or of standard input for `-`; one byte more than `limit` at most. InputError says what is not readable."""
    place = "standard input" if name == "-" else shown(name)
    cure = "Give a file of UTF-8 text, or - and the text on standard input."
    try:
        if name == "-":
            if sys.stdin is None or sys.stdin.closed:
                raise InputError("standard input is closed.", cure=cure)
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with open(Path(name), "rb") as file:
                data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be read: {getattr(error, 'strerror', None) or error}.", cure=cure) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= limit - 3:  # cut in the middle of a letter: too large, which is said elsewhere
            return data.decode("utf-8-sig", "replace")
        raise InputError(f"{place} is not UTF-8: byte {error.start} is {data[error.start]:#04x}.", cure=cure) from error
