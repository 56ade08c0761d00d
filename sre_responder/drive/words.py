"""Why Ansible ended a run, in its own words, short enough for one line and without logins."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sre_responder.names import shown

_TAIL_BYTES = 16_384
_LINES = 6
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LOGIN = re.compile(r"(://)[^/\s@]+@")
_PREFIX = re.compile(r"^\[?ERROR\]?!?:?\s*")
_BEGINS = ("ERROR", "[ERROR]", "fatal:")


def last_error(output: Path) -> str:
    """The last error in what Ansible wrote, or else its last lines; empty where it wrote nothing that can be read."""
    try:
        with open(output, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    began = next((place for place in reversed(range(len(lines))) if lines[place].startswith(_BEGINS)), len(lines) - 3)
    return brief(_PREFIX.sub("", " ".join(lines[max(0, began) :][:_LINES])))


def brief(text: str) -> str:
    """A message of Ansible as it may stand on screens and in records."""
    return shown(_LOGIN.sub(r"\1", text), 600).removesuffix(".")
