"""Domain names as Route 53 writes them: whole, in lower case, and every other character as an octal escape."""

from __future__ import annotations

import re
from string import ascii_lowercase, digits

from sre_responder.errors import InputError
from sre_responder.model.names import shown

_ESCAPED = re.compile(r"\\([0-3][0-7]{2})")
_TEXT = re.compile(r"(?:[^\\]|\\[0-3][0-7]{2})*")
_PLAIN = frozenset(f"{ascii_lowercase}{digits}-_")


def written(name: str) -> str:
    """A domain name in the one spelling that Route 53 itself returns, with its last dot.

    `*` becomes `\\052`, what is not ASCII becomes Punycode. InputError if it is not a domain name.
    """
    text = name.strip()
    try:
        labels = [_label(label) for label in text.removesuffix(".").split(".")]
    except ValueError as error:
        raise InputError(
            f"'{shown(name, 300)}' is not a domain name: {error}.",
            cure="Write it whole, such as www.example.com; a character other than a letter, a digit, - or _ as \\ and three octal digits.",
        ) from error
    return "".join(f"{label}." for label in labels)


def _label(text: str) -> str:
    """One label. ValueError if there can be none such."""
    if not text.isprintable() or " " in text:
        raise ValueError("it contains a space or a control character")
    if not _TEXT.fullmatch(text):
        raise ValueError("a \\ is not followed by three octal digits")
    if not text.isascii():
        import idna

        text = idna.encode(text, uts46=True).decode()
    octets = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text).encode("latin-1").lower().decode("latin-1")
    if not 1 <= len(octets) <= 63:
        raise ValueError("between two dots stand 1 to 63 characters")
    return "".join(one if one in _PLAIN else f"\\{ord(one):03o}" for one in octets)
