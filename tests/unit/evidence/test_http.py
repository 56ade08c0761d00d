"""One sample of a real HTTP server: good, bad, or not measured; never a guess and never an error."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.criterion import Criterion
from sre_responder.evidence.http import BODY_LIMIT, sample

Serve = Callable[..., str]
OK = Criterion(expect="rate >= `0.98`")


@pytest.mark.parametrize(
    ("criterion", "status", "body", "ok", "reason"),
    [
        (Criterion(), 200, b"", True, "status 200"),
        (Criterion(), 503, b"", False, "status 503, not 200"),
        (Criterion(status=204), 204, b"", True, "status 204"),
        (Criterion(status=204), 200, b"", False, "status 200, not 204"),
        (Criterion(max_latency_ms=60_000), 200, b"", True, "status 200"),
        (Criterion(max_latency_ms=0.0001), 200, b"", False, "ms, more than 0.0001"),
        (OK, 200, b'{"rate": 0.99}', True, "rate >= 0.98 is true (rate 0.99)"),
        (OK, 200, b'{"rate": 0.5}', False, "rate >= 0.98 is false (rate 0.5)"),
        (OK, 503, b'{"rate": 0.99}', False, "status 503"),
        (OK, 200, b'{"other": 1}', None, "gave None, neither true nor false"),
        (OK, 200, b'{"rate": "much"}', None, "cannot be judged"),
        (Criterion(expect="rate"), 200, b'{"rate": 1}', None, "gave 1, neither true nor false"),
        (Criterion(expect="ok"), 200, b'{"ok": "true"}', None, "gave 'true', neither true nor false"),
        (Criterion(expect="@"), 200, b"true", True, "@ is true"),
        (Criterion(expect="length(@) > `1`"), 200, b"[1, 2]", True, "is true"),
        (Criterion(expect="length(rate) > `1`"), 200, b'{"rate": 1}', None, "cannot be judged"),
        (Criterion(expect="nothing_such(@)"), 200, b"{}", None, "cannot be judged"),
        (OK, 200, b"", None, "cannot be judged"),
        (OK, 200, b"<html>", None, "cannot be judged"),
        (OK, 200, b'{"rate": \xff}', None, "cannot be judged"),
        (OK, 200, b"[" * 100_000, None, "cannot be judged"),
        (OK, 200, b'{"rate": ' + b"9" * 5000 + b"}", None, "cannot be judged"),
    ],
)  # fmt: skip
def test_an_answer_is_good_bad_or_not_measured(
    serve: Serve, criterion: Criterion, status: int, body: bytes, ok: bool | None, reason: str
) -> None:
    taken = sample(criterion, serve([body], status))
    assert (taken.ok, taken.status) == (ok, status)
    assert reason in taken.reason


@pytest.mark.parametrize(("size", "ok"), [(BODY_LIMIT, True), (BODY_LIMIT + 1, None)])
def test_an_answer_of_more_than_one_mebibyte_is_not_measured(serve: Serve, size: int, ok: bool | None) -> None:
    taken = sample(Criterion(), serve([b"x" * size]))
    assert taken.ok is ok


def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve) -> None:
    asked: list[bytes] = []
    elsewhere = serve(seen=asked)
    taken = sample(Criterion(), serve(status=302, headers={"Location": elsewhere}))
    assert (taken.ok, taken.status, asked) == (False, 302, [])


def test_a_sample_says_when_it_was_taken_and_how_long_it_took(serve: Serve) -> None:
    address = serve()
    before, after = (sample(Criterion(), address) for _ in range(2))
    assert before.at <= after.at
    assert before.latency_ms is not None and before.latency_ms > 0


def test_a_refused_connection_is_not_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    taken = sample(Criterion(), f"http://127.0.0.1:{port}/")
    assert (taken.ok, taken.status, "Connection refused" in taken.reason) == (None, None, True)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1/", "http://", "http://[", "http://127.0.0.1:x/", "http://127.0.0.1/\n"]
)
def test_an_address_that_is_none_is_not_measured(url: str) -> None:
    taken = sample(Criterion(), url)
    assert (taken.ok, "cannot be asked" in taken.reason) == (None, True)


@pytest.mark.parametrize("raw", [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_an_answer_that_is_cut_or_no_http_is_not_measured(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_answer_once, args=(server, raw))
        answering.start()
        taken = sample(Criterion(), f"http://127.0.0.1:{server.getsockname()[1]}/")
        answering.join()
    assert (taken.ok, "cannot be asked" in taken.reason) == (None, True)


def _answer_once(server: socket.socket, raw: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(raw)


def test_a_server_that_says_nothing_is_not_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken = sample(Criterion(timeout_s=0.1), f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert (taken.ok, "Timeout" in taken.reason) == (None, True)


def test_an_answer_that_drips_is_not_waited_for_beyond_the_timeout(serve: Serve) -> None:
    dripped: list[int] = []
    enough = threading.Event()

    def drip() -> Iterator[bytes]:
        while len(dripped) < 100 and not enough.wait(0.02):
            dripped.append(1)
            yield b"x"

    taken = sample(Criterion(timeout_s=0.2), serve(drip()))
    enough.set()
    assert taken.ok is None
    assert len(dripped) < 100


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(DOCUMENTS)
def test_good_is_exactly_true(document: Any) -> None:
    answer = json.dumps({"value": document}).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=answer))
    with httpx.Client(transport=transport) as client:
        taken = sample(Criterion(expect="value"), "http://probe/", client)
    assert (taken.ok is True) == (document is True)
    assert (taken.ok is False) == (document is False)
