"""The alert receiver over HTTP: it answers 200 once an alert is committed, 4xx for what can never succeed, 503 for what may later."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sre_responder.errors import InputError, ResponderError
from sre_responder.home.serving import Serve, Tls
from sre_responder.intake import plain, sources
from sre_responder.intake.credentials import Keys
from sre_responder.intake.homes import Homes
from sre_responder.intake.openapi import document
from sre_responder.intake.rate import Rate
from sre_responder.intake.receive import receive
from sre_responder.ledger import Ledger, alerts
from sre_responder.model.names import shown

_BODY_SECONDS = 15
_AT_ONCE = 4
"""So many payloads of proven senders are in memory at once, and so many whose signature is not read yet; the others wait."""
_RETRY_SECONDS = 15


@dataclass
class TurnedAway:
    """Requests that were answered without an alert, by why, until they are counted in the ledger."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    last: dict[str, str] = field(default_factory=dict)

    def add(self, why: str, detail: str) -> None:
        with self.lock:
            self.counts[why] += 1
            self.last[why] = detail

    def write(self, ledger: Ledger) -> None:
        """Move the counts into the ledger; they stay here where it cannot be written."""
        with self.lock:
            counts, last = dict(self.counts), dict(self.last)
        if not counts:
            return
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            for why, count in counts.items():
                alerts.count(connection, now, why, count, last[why])
        with self.lock:
            self.counts -= Counter(counts)


class _Answer(Exception):
    """The request is over with this status and reason."""

    def __init__(self, status: int, reason: str, *, retry: float | None = None, detail: str = "") -> None:
        self.status, self.reason, self.retry, self.detail = status, reason, retry, detail


@dataclass(frozen=True)
class Receiver:
    """What the server needs; `on_receipt` is called after each commit, and `metrics` gives what Prometheus reads."""

    homes: Homes
    ledger: Ledger
    keys: Keys
    turned_away: TurnedAway
    rate: Rate
    body_bytes: int
    on_receipt: Callable[[], None]
    metrics: Callable[[], bytes]

    def application(self) -> Starlette:
        proven, unproven = anyio.CapacityLimiter(_AT_ONCE), anyio.CapacityLimiter(_AT_ONCE)

        async def alerts_in(request: Request) -> Response:
            try:
                return await self._take(request, proven, unproven)
            except _Answer as answer:
                return self._answered(answer)
            except ResponderError as error:  # of the ledger or the home: what is wrong here may be right later
                return self._answered(_Answer(503, error.message, retry=_RETRY_SECONDS))
            except ClientDisconnect:
                return self._answered(_Answer(503, "the sender went away before the end of the payload"))
            except Exception:
                traceback.print_exc(file=sys.stderr)
                return self._answered(_Answer(500, "internal error"))

        async def healthy(_: Request) -> Response:
            async with unproven:
                problem = await run_in_threadpool(self._problem)
            return JSONResponse({"ok": problem is None, "problem": problem}, 503 if problem else 200)

        async def metrics(request: Request) -> Response:
            headers = {name.lower(): value for name, value in request.headers.items()}
            if self.keys.sender(headers, b"", time.time()) is None:
                return self._answered(_Answer(401, "no valid credential", detail=_peer(request)))
            async with proven:
                return Response(await run_in_threadpool(self.metrics), media_type="text/plain; version=0.0.4")

        async def openapi(_: Request) -> Response:
            return JSONResponse(document())

        return Starlette(
            routes=[
                Route("/healthz", healthy, methods=["GET"]),
                Route("/metrics", metrics, methods=["GET"]),
                Route("/openapi.json", openapi, methods=["GET"]),
                Route("/{path:path}", alerts_in, methods=["POST"]),
            ]
        )

    async def _take(self, request: Request, proven: anyio.CapacityLimiter, unproven: anyio.CapacityLimiter) -> Response:
        """One request. A signature is known to be right behind the body only: such bodies keep no others waiting."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = self.keys.signed(headers)
        sender = self.keys.sender(headers, b"", time.time())
        if sender is None and not signed:  # before a byte of the body is read
            raise _Answer(401, "no valid credential", detail=_peer(request))
        if headers.get("content-encoding", "identity") != "identity":
            raise _Answer(415, "the payload is compressed; send it as it is")
        async with unproven if sender is None else proven:
            body = await self._body(request)
            sender = sender or self.keys.sender(headers, body, time.time())
            if sender is None:
                raise _Answer(401, "no valid credential", detail=_peer(request))
            if wait := self.rate.wait(sender):
                raise _Answer(503, f"more than the requests per minute that {sender} may make", retry=wait)
            return await run_in_threadpool(self._commit, body, headers, sender)

    async def _body(self, request: Request) -> bytes:
        too_large = _Answer(413, f"the payload is larger than {self.body_bytes >> 20} MiB")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > self.body_bytes:
            raise too_large
        body = bytearray()
        with anyio.move_on_after(_BODY_SECONDS) as scope:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.body_bytes:
                    raise too_large
        if scope.cancelled_caught:
            raise _Answer(503, f"the payload did not arrive within {_BODY_SECONDS} s", retry=_RETRY_SECONDS)
        return bytes(body)

    def _commit(self, body: bytes, headers: dict[str, str], sender: str) -> Response:
        home = self.homes.now()
        policy = home.policy  # a policy that cannot be read is our fault, and no reason to give up the alert
        try:
            text = body.decode("utf-8-sig")
            webhook = sources.parse(text, headers, partial(plain.read, policy.serve.mapping))
        except UnicodeDecodeError as error:
            raise _Answer(400, f"the payload is not UTF-8: byte {error.start}", detail=sender) from error
        except InputError as error:
            raise _Answer(400, str(error), detail=sender) from error
        receipt = receive(home, self.ledger, webhook, sender)
        self.on_receipt()
        return JSONResponse(receipt.as_dict())

    def _answered(self, answer: _Answer) -> Response:
        self.turned_away.add(f"{answer.status}", shown(f"{answer.reason} {answer.detail}".strip(), 300))
        headers = {} if answer.retry is None else {"Retry-After": str(max(1, round(answer.retry)))}
        if answer.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": answer.reason}, answer.status, headers)

    def _problem(self) -> str | None:
        """Why an alert could not be committed now; None if it could."""
        try:
            home = self.homes.now()
            _ = home.policy, home.catalogue, home.runbooks
            with self.ledger.hurried(2).transaction() as connection:
                self.ledger.now(connection)
        except ResponderError as error:
            return error.message
        return None


def _peer(request: Request) -> str:
    return f"from {request.client.host}" if request.client else ""


def prepare(receiver: Receiver, policy: Serve) -> Callable[[], None]:
    """What serves until SIGTERM or SIGINT, and answers what is in flight then. InputError if it could not listen."""
    host, port = policy.address
    configuration = uvicorn.Config(
        receiver.application(), log_level="warning", access_log=False, limit_concurrency=256, timeout_keep_alive=30,
        timeout_graceful_shutdown=20, server_header=False, **_tls(policy.tls),
    )  # fmt: skip
    try:
        configuration.load()
    except (OSError, ValueError) as error:  # of certificate, key and authority
        raise InputError(f"serve.tls cannot be used: {error}.", cure="Correct serve.tls in policy.yml.") from error
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"cannot listen on {policy.listen}: {error.strerror}.", cure="Set serve.listen in policy.yml, or --listen."
        ) from error
    return lambda: uvicorn.Server(configuration).run(sockets=[listening])


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    given: dict[str, Any] = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    if tls.client_ca is not None:
        given |= {"ssl_ca_certs": str(tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return given
