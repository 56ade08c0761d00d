"""Why Ansible ended a run, in its own words: short enough for one line, without its excerpts of files and without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sre_responder.model.names import shown

_TAIL_BYTES = 65_536
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LOGIN = re.compile(r"(://)[^/\s@]+@")
_NAMED = re.compile(
    r"""([\w-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|credential)s?["']?\s*[:=]\s*)(["']?)[^\s"',;}]+\2""",
    re.IGNORECASE,
)
"""A value that its name calls secret."""
_BEGINS = re.compile(r"(?:\[ERROR\]:|ERROR[!:]|(?=fatal:))\s*")
_WARNS = re.compile(r"\[WARNING\]:\s*")
_ENDS = re.compile(r"$|Origin: |<<< |\(source |PLAY\b|TASK\b|RUNNING HANDLER\b|\[|fatal:|ok:|changed:|skipping:|usage:")


def last_error(output: Path, secrets: Iterable[str] = (), *, failed: bool = True) -> str:
    """The last error in what Ansible wrote, else its warnings, else, if it `failed`, its last lines; empty if there is none.

    Below an error Ansible shows the lines of the file around it, which may hold anything: of these only the place is kept.
    """
    try:
        with open(output, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines()]
    errors, warnings = _blocks(lines, _BEGINS), _blocks(lines, _WARNS)
    plain = [line for line in lines if line][-3:] if failed else []
    return brief(" ".join(errors[-1:] or dict.fromkeys(warnings) or plain), secrets)


def brief(text: str, secrets: Iterable[str] = ()) -> str:
    """A message of Ansible as it may stand on screens and in records: `secrets` are masked, and what a name calls secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    masked = _NAMED.sub(r"\1***", _LOGIN.sub(r"\1", " ".join(text.split())))
    return shown(masked, 600).removesuffix(".")


def _blocks(lines: list[str], begins: re.Pattern[str]) -> list[str]:
    """The messages that begin so, each up to its end, with the place in a file that it names."""
    found = []
    for number, line in enumerate(lines):
        if head := begins.match(line):
            rest = lines[number + 1 :]
            more = next((at for at, after in enumerate(rest) if _ENDS.match(after)), len(rest))
            words = [line[head.end() :], *rest[:more]]
            if rest[more:] and rest[more].startswith("Origin: "):
                words.append(f"({rest[more].removeprefix('Origin: ')})")
            found.append(" ".join(words))
    return found
