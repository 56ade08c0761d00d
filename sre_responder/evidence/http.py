"""One sample of an HTTP probe: a whole answer within one deadline and one size, and what it says of the service."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import jmespath

from sre_responder.model import address
from sre_responder.model.criterion import Look
from sre_responder.model.names import shown
from sre_responder.system import outbound

BODY_LIMIT = 1 << 20
_BY_PROXY = ("proxy-status", "x-squid-error")
"""Headers of an answer that a proxy made itself."""


class NoAnswer(Exception):
    """Why nothing could be measured."""


@dataclass(frozen=True)
class Sample:
    """One measurement at a time of the monotonic clock; `ok` is None where nothing could be measured."""

    at: float
    ok: bool | None
    reason: str
    status: int | None = None
    latency_ms: float | None = None
    value: Any = None


@dataclass(frozen=True)
class Answer:
    """A whole answer, and the proxy through which it came."""

    url: str
    status: int
    body: bytes
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None


def sample(criterion: Look, url: str) -> Sample:
    """Ask the probe once. A service that answers wrongly is measured and bad; one that cannot be asked is not measured."""
    at = time.monotonic()
    try:
        return judge(criterion, fetch(url, criterion.timeout_s), at)
    except NoAnswer as error:
        return Sample(at, None, str(error))


def judge(criterion: Look, answer: Answer, at: float) -> Sample:
    """What an answer says by a criterion."""
    latency, via = answer.seconds * 1000, f" (through the proxy {answer.proxy})" if answer.proxy else ""

    def found(ok: bool | None, reason: str, value: Any = None) -> Sample:
        return Sample(at, ok, reason + via, answer.status, latency, value)

    if answer.proxy and (answer.status == 407 or set(_BY_PROXY) & set(answer.headers)):
        return Sample(at, None, f"the proxy {answer.proxy} answered {answer.status} itself", answer.status, latency)
    if answer.status != criterion.status:
        return found(False, f"status {answer.status}, not {criterion.status}")
    if criterion.max_latency_ms is not None and latency > criterion.max_latency_ms:
        return found(False, f"{latency:.0f} ms, more than {criterion.max_latency_ms:g}")
    if criterion.expect is None:
        return found(True, f"status {answer.status}")
    if (encoding := answer.headers.get("content-encoding", "identity")) != "identity":
        return found(None, f"{address.shown(answer.url)} answers in {encoding}, though plain JSON was asked for")
    if not criterion.json_required and _is_plain(answer):
        return found(True, f"status {answer.status}, without JSON")
    try:
        document = json.loads(answer.body, parse_constant=_no_number, parse_float=_finite)
        value = jmespath.search(criterion.expect, document)
    except (ValueError, TypeError, ArithmeticError, RecursionError, jmespath.exceptions.JMESPathError) as error:
        return found(None, f"cannot judge the answer of {address.shown(answer.url)}: {error}")
    if not isinstance(value, bool):
        return found(None, f"{criterion.expect} gave {shown(repr(value))}, neither true nor false", value)
    items = document.items() if isinstance(document, dict) else ()
    facts = ", ".join(f"{name} {item}" for name, item in items if name in criterion.expect)
    said = f"{criterion.expect.replace('`', '')} is {str(value).lower()}"
    return found(value, f"{said} ({shown(facts)})" if facts else said, value)


def fetch(url: str, timeout_s: float) -> Answer:
    """The whole answer to one GET. NoAnswer if it does not end within `timeout_s`, however slowly it drips, or is too large."""
    if wrong := address.problem(url):
        raise NoAnswer(f"{address.shown(url)} {wrong}")
    began = time.monotonic()
    sockets: list[socket.socket] = []
    results: list[Answer | Exception] = []

    def work() -> None:
        try:
            results.append(_get(url, timeout_s, sockets))
        except Exception as error:  # whatever it is, nothing was measured
            results.append(error)

    # Not every wait has a timeout of its own: that of a name server has none, those of a socket begin anew at each byte.
    asking = threading.Thread(target=work, daemon=True)
    asking.start()
    asking.join(timeout_s)
    through = outbound.through(url)
    late = NoAnswer(f"{address.shown(url)} did not answer completely within {timeout_s:g} s{through}")
    if not results:
        for open_ in list(sockets):
            with suppress(OSError):
                socket.socket.shutdown(open_, socket.SHUT_RDWR)  # ends the thread, also in the middle of TLS
        raise late
    result = results[0]
    if isinstance(result, Answer):
        return result
    if isinstance(result, httpx.TimeoutException):
        raise late from result
    if isinstance(result, NoAnswer):
        raise result
    reason = f"{type(result).__name__} {result}".strip()
    after = time.monotonic() - began
    raise NoAnswer(f"cannot reach {address.shown(url)}{through}: {reason} (after {after:.1f} s)") from result


def _get(url: str, timeout_s: float, sockets: list[socket.socket]) -> Answer:
    def connected(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            sockets.append(info["return_value"].get_extra_info("socket"))

    with httpx.Client(**outbound.way(url), timeout=timeout_s) as client:
        began, body = time.monotonic(), b""
        asked = {"headers": {"Accept-Encoding": "identity"}, "extensions": {"trace": connected}}
        with client.stream("GET", url, follow_redirects=False, **asked) as response:  # type: ignore[arg-type]
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise NoAnswer(f"{address.shown(url)} answers more than 1 MiB")
        seconds = time.monotonic() - began
    proxy = address.proxy_for(url)
    through = address.shown(proxy) if proxy else None
    return Answer(url, response.status_code, body, seconds, dict(response.headers), through)


def _is_plain(answer: Answer) -> bool:
    """Whether an answer neither says that it is JSON nor begins as it does: JSON that was cut short is not plain text."""
    return "json" not in answer.headers.get("content-type", "") and answer.body.lstrip()[:1] not in (b"{", b"[")


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number
