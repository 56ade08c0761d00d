"""The names that enter from outside, matched whole and in ASCII (spec section 1)."""

from __future__ import annotations

import re
from typing import Literal, get_args

from sre_responder.errors import InputError

Environment = Literal["dev", "staging", "canary", "production"]
Severity = Literal["SEV1", "SEV2", "SEV3", "SEV4"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)
STRICTEST = ENVIRONMENTS[-1]
"""They stand from the mildest to the one with the strictest limits."""
SEVERITIES: tuple[str, ...] = get_args(Severity)

_INCIDENT = re.compile(r"INC-[0-9]{4,8}", re.ASCII)
_SERVICE = re.compile(r"(?:[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}/)?[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", re.ASCII)
_RUNBOOK = re.compile(r"[a-z][a-z0-9-]{1,63}", re.ASCII)


def shown(text: object, limit: int = 200) -> str:
    """Text from outside as it may be shown to a person: escaped and cut at `limit` characters, said so."""
    raw = str(text)
    escaped = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii", "replace") for c in raw[:limit]
    )
    return escaped if len(raw) <= limit else f"{escaped}… ({len(raw)} characters, cut at {limit})"


def incident(text: str) -> str:
    """An incident number: `INC-` and 4 to 8 digits."""
    if not isinstance(text, str) or not _INCIDENT.fullmatch(text):
        raise InputError(f"incident '{shown(text)}' is not an incident number.", cure="Write INC- and 4 to 8 digits.")
    return str(text)


def service(text: str) -> str:
    """A service name; whether the service exists is the catalogue's answer."""
    if not isinstance(text, str) or not _SERVICE.fullmatch(text):
        raise InputError(
            f"service '{shown(text)}' is not a service name.",
            cure="Use 1 to 63 of a-z A-Z 0-9 . _ - and begin with a letter or a digit; before it, perhaps, a namespace and a slash.",
        )
    return str(text)


def environment(text: str) -> str:
    """One of the four environments."""
    if not isinstance(text, str) or text not in ENVIRONMENTS:
        raise InputError(f"environment '{shown(text)}' is not known.", cure=f"Use one of {', '.join(ENVIRONMENTS)}.")
    return str(text)


def runbook(text: str) -> str:
    """A runbook's id: lower case letters, digits and dashes."""
    if not isinstance(text, str) or not _RUNBOOK.fullmatch(text):
        raise InputError(
            f"runbook '{shown(text)}' is not a runbook id: 2 to 64 of a-z, 0-9 and dashes, the first a letter.",
            cure="See `responder runbooks`.",
        )
    return str(text)
