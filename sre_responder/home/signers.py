"""The lines of allowed_signers (ssh-keygen(1), ALLOWED SIGNERS): whose key is which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

KEY = re.compile(r"(?P<kind>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+)\s+(?P<blob>AAAA[A-Za-z0-9+/=]+)")


class Signer(NamedTuple):
    """One line: the patterns of the principals it is for, the key, and whether that only signs the keys of others."""

    principals: tuple[str, ...]
    kind: str
    blob: str
    authority: bool


def signers(text: str) -> Iterator[Signer]:
    """The lines that hold a key; a comment holds none."""
    for line in text.splitlines():
        if not line.startswith("#") and (match := KEY.search(line)):
            principals = tuple(line.split()[0].strip('"').split(","))
            yield Signer(principals, match["kind"], match["blob"], "cert-authority" in line[: match.start()])
