"""One HTTP answer, whole, within one deadline and one size; and the login that a connection to a source adds."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sre_responder.model import address
from sre_responder.model.look import NotMeasured
from sre_responder.model.names import shown
from sre_responder.system import outbound
from sre_responder.system.secret import Secret

BODY_LIMIT = 1 << 20
_PORTS = {"http": 80, "https": 443}


class Login(BaseModel):
    """How an HTTP source is reached, and with which login: a bearer token, a user's password, a client certificate, headers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field(description="Where its API begins; the login is sent nowhere else.")
    token: Secret | None = Field(None, description="Sent as a bearer token.")
    username: str | None = None
    password: Secret | None = None
    ca_certificate: Path | None = Field(None, description="The authority that signs its certificate.")
    client_certificate: Path | None = None
    client_key: Path | None = None
    headers: Mapping[str, str | Secret] = Field(default_factory=dict, description="Sent with each request.")

    @field_validator("url")
    @classmethod
    def _sound(cls, value: str) -> str:
        if wrong := address.problem(value):
            raise ValueError(wrong)
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> Login:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password stand together")
        if self.token and self.username:
            raise ValueError("token and username: write one of them")
        if self.client_key and not self.client_certificate:
            raise ValueError("client_key needs client_certificate")
        return self

    def covers(self, url: str) -> bool:
        """Whether an address is on the same host and port, so that the login may be sent there."""
        mine, its = urlsplit(self.url), urlsplit(url)
        return _origin(mine.scheme, mine.hostname, mine.port) == _origin(its.scheme, its.hostname, its.port)

    def sent(self) -> dict[str, str]:
        """The headers of a request, revealed. NotMeasured if a secret cannot be read."""
        found = {name: _revealed(value) for name, value in self.headers.items()}
        if self.token:
            found["Authorization"] = f"Bearer {_revealed(self.token)}"
        return found

    def arguments(self) -> dict[str, Any]:
        """What `httpx.Client` needs beside headers. NotMeasured if a certificate or secret cannot be read."""
        found: dict[str, Any] = {}
        if self.username is not None and self.password is not None:
            found["auth"] = (self.username, _revealed(self.password))
        if self.url.startswith("https:") and (self.ca_certificate or self.client_certificate):
            found["verify"] = _trust(self.ca_certificate, self.client_certificate, self.client_key)
        return found


def _origin(scheme: str, host: str | None, port: int | None) -> tuple[str, str | None, int | None]:
    return scheme, host, port or _PORTS.get(scheme)


@lru_cache
def _revealed(value: str | Secret) -> str:
    """Read once: a vault takes longer than many an answer."""
    try:
        return value if isinstance(value, str) else value.reveal()
    except (OSError, ValueError) as error:
        raise NotMeasured(f"a secret cannot be read: {error}") from error


@lru_cache
def _trust(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    try:
        context = (
            ssl.create_default_context(cafile=authority.expanduser()) if authority else ssl.create_default_context()
        )
        if certificate:
            context.load_cert_chain(certificate.expanduser(), key.expanduser() if key else None)
    except OSError as error:
        named = ", ".join(str(one) for one in (authority, certificate, key) if one)
        raise NotMeasured(f"a certificate cannot be used ({named}): {error.strerror or error}") from error
    return context


@dataclass(frozen=True)
class Answer:
    """A whole answer, and the proxy through which it came."""

    url: str
    status: int
    body: bytes
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None


def fetch(
    url: str, timeout_s: float, *, login: Login | None = None, headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None, at_most: int = BODY_LIMIT,
) -> Answer:  # fmt: skip
    """The whole answer to one GET, or to one POST of a form. NotMeasured if it does not end in time, however slowly it drips, or is too large."""
    if wrong := address.problem(url):
        raise NotMeasured(f"{address.shown(url)} {wrong}")
    if login is not None and not login.covers(url):
        raise NotMeasured(
            f"the connection is for {address.shown(login.url)}, and its login is not sent to {address.shown(url)}"
        )
    sent = {**(login.sent() if login else {}), **(headers or {}), "Accept-Encoding": "identity"}
    more = {**(login.arguments() if login else {}), "timeout": timeout_s}
    began = time.monotonic()
    sockets: list[socket.socket] = []
    results: list[Answer | Exception] = []

    def work() -> None:
        try:
            results.append(_ask(url, sockets, sent, form, more, at_most))
        except Exception as error:  # whatever it is, nothing was measured
            results.append(error)

    # Not every wait has a timeout of its own: that of a name server has none, those of a socket begin anew at each byte.
    asking = threading.Thread(target=work, daemon=True)
    asking.start()
    asking.join(timeout_s)
    through = outbound.through(url)
    late = NotMeasured(f"{address.shown(url)} did not answer completely within {timeout_s:g} s{through}")
    if not results:
        for open_ in list(sockets):
            with suppress(OSError):
                socket.socket.shutdown(open_, socket.SHUT_RDWR)  # ends the thread, also in the middle of TLS
        raise late
    result = results[0]
    if isinstance(result, Answer):
        return result
    if isinstance(result, TimeoutError):
        raise late from result
    if isinstance(result, NotMeasured):
        raise result
    reason = f"{type(result).__name__} {result}".strip()
    after = time.monotonic() - began
    raise NotMeasured(f"cannot reach {address.shown(url)}{through}: {reason} (after {after:.1f} s)") from result


def _ask(
    url: str, sockets: list[socket.socket], headers: Mapping[str, str], form: Mapping[str, str] | None, more: Mapping[str, Any],
    at_most: int,
) -> Answer:  # fmt: skip
    import httpx  # here, for it is slow to import, and every runbook that is read loads its sources

    def connected(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            sockets.append(info["return_value"].get_extra_info("socket"))

    method = "GET" if form is None else "POST"
    try:
        with httpx.Client(**{**outbound.way(url), **more}) as client:
            began, body = time.monotonic(), bytearray()
            asked: dict[str, Any] = {"headers": headers, "data": form, "extensions": {"trace": connected}}
            with client.stream(method, url, follow_redirects=False, **asked) as response:
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > at_most:
                        raise NotMeasured(f"{address.shown(url)} answers more than {at_most >> 20} MiB")
            seconds = time.monotonic() - began
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except (httpx.LocalProtocolError, UnicodeEncodeError) as error:  # the text of these repeats the header
        raise NotMeasured(f"a header for {address.shown(url)} is not valid") from error
    proxy = address.proxy_for(url)
    through = address.shown(proxy) if proxy else None
    return Answer(url, response.status_code, bytes(body), seconds, dict(response.headers), through)


def document(answer: Answer) -> dict[str, Any]:
    """The JSON object of an API's answer. NotMeasured for anything else, in the words of who answered."""
    where = address.shown(answer.url)
    if answer.status in (401, 403):
        raise NotMeasured(f"{where} answers {answer.status}: its connection has no login, or not enough rights")
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        said = answer.body[:200].decode("utf-8", "replace").strip()
        raise NotMeasured(f"{where} answers {answer.status} without a JSON object: {shown(said, 200)}")
    return found
