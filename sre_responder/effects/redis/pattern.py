"""Patterns of keys as SCAN takes them: whether one names anything, and whether two may name one key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from sre_responder.errors import InputError
from sre_responder.model.names import shown

_MOST_CHARACTERS, _MOST_STARS = 512, 8
"""Many stars take a server minutes for one key (CVE-2022-36021)."""
_PART = re.compile(r"\\(?P<escaped>.)|\[(?:\\.|[^\]\\])*\]|\*|\?|(?P<plain>.)", re.DOTALL)

_UNFINISHED = ("[", "\\")
"""What begins something that does not end; servers take each in ways of their own."""


def checked(text: str, whole_database: bool) -> bytes:
    """The pattern as it is sent. InputError where it is none, or names nothing and the whole database was not asked for."""
    wrong = _wrong(text)
    if wrong:
        raise InputError(
            f"pattern '{shown(text, 80)}' {wrong}.",
            cure="Write one as SCAN takes it, such as session:*; a backslash before *, ?, [ or \\ means the character.",
        )
    if not whole_database and not any(one and one.isalnum() for one in _literals(text)):
        raise InputError(
            f"pattern '{shown(text, 80)}' has no letter or digit that stands for itself, so it may match every key.",
            cure="Write how the keys begin, such as session:*; whole_database with the number of the database allows this one.",
        )
    return text.encode()


def overlap(one: str, other: str) -> bool:
    """Whether two patterns may match one key: unless what is fixed at their beginnings differs, they may."""
    first, second = _beginning(one), _beginning(other)
    return first.startswith(second) or second.startswith(first)


def _wrong(text: str) -> str | None:
    if not text.strip():
        return "is empty, which never means all"
    if not text.isprintable():  # a line break from YAML, mostly; what cannot be encoded is not printable either
        return "contains a character that cannot be printed"
    if len(text) > _MOST_CHARACTERS:
        return f"is longer than {_MOST_CHARACTERS} characters"
    if text.count("*") > _MOST_STARS:
        return f"has more than {_MOST_STARS} stars"
    if any(found["plain"] in _UNFINISHED for found in _PART.finditer(text)):
        return "has a [ without its ], or ends in a backslash"
    return None


def _literals(text: str) -> Iterator[str | None]:
    """Each character that stands for itself; None for what stands for others."""
    for found in _PART.finditer(text):
        yield found["escaped"] or (None if found["plain"] in _UNFINISHED else found["plain"])


def _beginning(text: str) -> str:
    return "".join(one or "" for one in takewhile(bool, _literals(text)))
