"""Who sent a request: the credential that it proves, by a bearer token or an HMAC of its body."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sre_responder.errors import InputError
from sre_responder.home.serving import Credential

MUTUAL_TLS = "mutual-tls"
"""What the record calls a sender that only its certificate names."""
_LEAST = 16
"""A secret of fewer characters can be guessed."""
_VALID_SECONDS = 300
_PREFIXES = ("v1=", "sha256=")


@dataclass(frozen=True)
class Key:
    """A credential with its secret, revealed once."""

    credential: Credential
    secret: bytes


class Keys:
    """The credentials of a server. Without any, only clients with a certificate ever get to it."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def signed(self, headers: Mapping[str, str]) -> bool:
        """Whether the body must be read to know the sender."""
        return any(key.credential.header.lower() in headers for key in self._keys if key.credential.hmac)

    def sender(self, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
        """The name of the credential that a request proves; None where it proves none. `headers` are in lower case."""
        if not self._keys:
            return MUTUAL_TLS
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode() if scheme.lower() == "bearer" else b""
        proven = [key.credential.name for key in self._keys if _proves(key, headers, given, body, now)]
        return proven[0] if proven else None


def _proves(key: Key, headers: Mapping[str, str], token: bytes, body: bytes, now: float) -> bool:
    credential = key.credential
    if credential.token is not None:
        return hmac.compare_digest(token, key.secret)
    if credential.timestamp_header is not None:
        at = headers.get(credential.timestamp_header.lower(), "")
        if not (at.isascii() and at.isdigit() and len(at) < 12 and abs(int(at) - now) <= _VALID_SECONDS):
            return False
        body = at.encode() + b":" + body
    expected = hmac.new(key.secret, body, hashlib.sha256).hexdigest().encode()
    given = [one.strip() for one in headers.get(credential.header.lower(), "").split(",")[:10]]
    bare = [next((one.removeprefix(p) for p in _PREFIXES if one.startswith(p)), one) for one in given]
    return any([hmac.compare_digest(one.lower().encode(), expected) for one in bare])


def revealed(credentials: Iterable[Credential], *, certificates: bool) -> Keys:
    """The credentials with their secrets. InputError where there is none, or one cannot be read or is too short."""
    keys = []
    for one in credentials:
        secret = one.token or one.hmac
        assert secret is not None
        try:
            value = secret.reveal()
        except (ValueError, OSError) as error:
            raise InputError(
                f"the secret of credential {one.name} cannot be read: {error}.",
                cure="Correct serve.credentials in policy.yml.",
            ) from error
        if len(value) < _LEAST:
            raise InputError(
                f"the secret of credential {one.name} has fewer than {_LEAST} characters.",
                cure="Make one: openssl rand -hex 32",
            )
        keys.append(Key(one, value.encode()))
    if not keys and not certificates:
        raise InputError(
            "nobody could prove who sends an alert, and whoever can reach the server could start runs.",
            cure="Set serve.credentials in policy.yml, or serve.tls.client_ca; see docs/alerts.md.",
        )
    return Keys(keys)
