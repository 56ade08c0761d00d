"""One sample of a real HTTP server: good, bad, or not measured; never a guess and never an error."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sre_responder.evidence.fetch import BODY_LIMIT, Answer
from sre_responder.evidence.looks import taken as looked
from sre_responder.evidence.sources.http import PROBE, Http
from sre_responder.model.look import Place, Sample

Serve = Callable[..., str]
OK = Http(expect="rate >= `0.98`")


def sample(look: Http, url: str) -> Sample:
    return looked("must", look, Place("checkout", "dev", {PROBE: url})).sample


@pytest.mark.parametrize(
    ("look", "status", "body", "ok", "reason"),
    [
        (Http(), 200, b"", True, "status 200"),
        (Http(), 503, b"", False, "status 503, not 200"),
        (Http(status=204), 204, b"", True, "status 204"),
        (Http(status=204), 200, b"", False, "status 200, not 204"),
        (Http(max_latency_ms=60_000), 200, b"", True, "status 200"),
        (Http(max_latency_ms=0.0001), 200, b"", False, "ms, more than 0.0001"),
        (OK, 200, b'{"rate": 0.99}', True, "rate >= 0.98 is true (rate 0.99)"),
        (OK, 200, b'{"rate": 0.5}', False, "rate >= 0.98 is false (rate 0.5)"),
        (OK, 503, b'{"rate": 0.99}', False, "status 503"),
        (OK, 200, b'{"other": 1}', None, "gave None, neither true nor false"),
        (OK, 200, b'{"rate": "much"}', None, "cannot judge"),
        (Http(expect="rate"), 200, b'{"rate": 1}', None, "gave 1, neither true nor false"),
        (Http(expect="ok"), 200, b'{"ok": "true"}', None, "gave 'true', neither true nor false"),
        (Http(expect="@"), 200, b"true", True, "@ is true"),
        (Http(expect="length(@) > `1`"), 200, b"[1, 2]", True, "is true"),
        (Http(expect="length(rate) > `1`"), 200, b'{"rate": 1}', None, "cannot judge"),
        (Http(expect="nothing_such(@)"), 200, b"{}", None, "cannot judge"),
        (OK, 200, b"", None, "cannot judge"),
        (OK, 200, b"<html>", None, "cannot judge"),
        (OK, 200, b'{"rate": \xff}', None, "cannot judge"),
        (OK, 200, b"[" * 100_000, None, "cannot judge"),
        (OK, 200, b'{"rate": ' + b"9" * 5000 + b"}", None, "cannot judge"),
        (OK, 200, b'{"rate": ' + b"9" * 400 + b"}", True, "rate >= 0.98 is true"),
        (OK, 200, b'{"rate": NaN}', None, "NaN is not a number in JSON"),
        (OK, 200, b'{"rate": Infinity}', None, "Infinity is not a number in JSON"),
        (OK, 200, b'{"rate": 1, "other": -Infinity}', None, "-Infinity is not a number in JSON"),
        (OK, 200, b'{"rate": 1e999}', None, "1e999 is too large"),
        (Http(expect="avg(rates) > `1`"), 200, b'{"rates": [' + b"9" * 400 + b"]}", None, "cannot judge"),
    ],
)  # fmt: skip
def test_an_answer_is_good_bad_or_not_measured(
    serve: Serve, look: Http, status: int, body: bytes, ok: bool | None, reason: str
) -> None:
    taken = sample(look, serve([body], status))
    assert (taken.ok, taken.status) == (ok, status)
    assert reason in taken.reason


@pytest.mark.parametrize(("size", "ok"), [(BODY_LIMIT, True), (BODY_LIMIT + 1, None)])
def test_an_answer_of_more_than_one_mebibyte_is_not_measured(serve: Serve, size: int, ok: bool | None) -> None:
    taken = sample(Http(), serve([b"x" * size]))
    assert taken.ok is ok


def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve) -> None:
    asked: list[bytes] = []
    elsewhere = serve(seen=asked)
    taken = sample(Http(), serve(status=302, headers={"Location": elsewhere}))
    assert (taken.ok, taken.status, asked) == (False, 302, [])


def test_a_sample_says_when_it_was_taken_and_how_long_it_took(serve: Serve) -> None:
    address = serve()
    before, after = (sample(Http(), address) for _ in range(2))
    assert before.at <= after.at
    assert before.latency_ms is not None and before.latency_ms > 0


def test_a_refused_connection_is_not_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    taken = sample(Http(), f"http://127.0.0.1:{port}/")
    assert (taken.ok, taken.status, "Connection refused" in taken.reason) == (None, None, True)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "does not start with http:// or https://"),
        ("nonsense", "does not start with http:// or https://"),
        ("ftp://127.0.0.1/", "does not start with http:// or https://"),
        ("http://", "names no host"),
        ("http://[", "is not a valid address"),
        ("http://127.0.0.1:x/", "is not a valid address"),
        ("http://127.0.0.1/\n", "is not a valid address"),
        ("http://{{ probe }}/", "contains Jinja"),
    ],
)
def test_an_address_that_is_none_is_not_measured(url: str, reason: str) -> None:
    taken = sample(Http(), url)
    assert (taken.ok, reason in taken.reason) == (None, True)


def test_a_password_in_an_address_is_neither_used_nor_shown() -> None:
    taken = sample(Http(), "http://ann:s3cret@127.0.0.1:1/health")
    assert taken.ok is None
    assert "http://127.0.0.1:1/health contains a user name or password" in taken.reason
    assert "s3cret" not in repr(taken)


def test_a_runbook_with_a_password_in_its_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as refused:
        Http(url="http://ann:s3cret@shop/")
    assert "s3cret" not in str(refused.value.errors(include_input=False, include_context=False))


@pytest.mark.parametrize("raw", [b"", b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_an_answer_that_is_cut_or_no_http_is_not_measured(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_answer_once, args=(server, raw))
        answering.start()
        taken = sample(Http(), f"http://127.0.0.1:{server.getsockname()[1]}/")
        answering.join()
    assert (taken.ok, "cannot reach" in taken.reason) == (None, True)


def _answer_once(server: socket.socket, raw: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(raw)


@pytest.mark.parametrize("point", ["nothing", "head", "body"])
def test_an_answer_that_drips_ends_at_one_deadline_wherever_it_drips(point: str) -> None:
    begun = {
        "nothing": b"",
        "head": b"HTTP/1.1 200 OK\r\nX-",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
    }
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_drip, args=(server, begun[point], over if point == "nothing" else None))
        answering.start()
        began = time.monotonic()
        taken = sample(Http(timeout_s=0.3), f"http://127.0.0.1:{server.getsockname()[1]}/")
        seconds = time.monotonic() - began
        over.set()
        answering.join(10)
    assert taken.ok is None
    assert "did not answer completely within 0.3 s" in taken.reason
    assert seconds < 3
    assert not answering.is_alive(), "the connection is closed, so that no thread and no socket is left behind"


def _drip(server: socket.socket, begun: bytes, silent_until: threading.Event | None) -> None:
    """Begin, then one byte at a time, each in time for a timeout of its own, until the other side is gone."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.sendall(begun)
        if silent_until:
            silent_until.wait(10)
            return
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.02)


def test_an_answer_of_gigabytes_never_enters_memory(serve: Serve) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for _ in range(3 << 14):
            sent.append(1)
            yield bytes(1 << 16)

    tracemalloc.start()
    try:
        taken = sample(Http(timeout_s=20), serve(endless()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (taken.ok, "more than 1 MiB" in taken.reason) == (None, True)
    assert peak < 16 << 20
    assert len(sent) < 3 << 10


def test_a_compressed_answer_is_not_inflated(serve: Serve) -> None:
    bomb = gzip.compress(bytes(100 << 20))
    taken = sample(Http(expect="ok"), serve([bomb], headers={"Content-Encoding": "gzip"}))
    assert (taken.ok, "answers in gzip" in taken.reason) == (None, True)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def through(proxy: str) -> None:
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("https_proxy", proxy)

    return through


def test_a_probe_on_this_machine_is_asked_past_any_proxy(serve: Serve, proxied: Callable[[str], None]) -> None:
    proxied("http://127.0.0.1:1")
    assert sample(Http(), serve()).ok is True


@pytest.mark.parametrize("url", ["http://shop.example/health", "https://shop.example/health"])
def test_a_probe_that_fails_because_of_a_proxy_says_so(url: str, proxied: Callable[[str], None]) -> None:
    proxied("http://ann:s3cret@127.0.0.1:1")
    taken = sample(Http(), url)
    assert taken.ok is None
    assert f"cannot reach {url} through the proxy http://127.0.0.1:1 that the environment names" in taken.reason
    assert "s3cret" not in taken.reason


@pytest.mark.parametrize(
    ("status", "headers", "ok", "reason"),
    [
        (200, {}, True, "status 200 (through the proxy http://127.0.0.1:"),
        (503, {}, False, "status 503, not 200 (through the proxy http://127.0.0.1:"),
        (407, {}, None, "answered 407 itself"),
        (503, {"X-Squid-Error": "ERR_CONNECT_FAIL 111"}, None, "answered 503 itself"),
    ],
)
def test_what_a_proxy_answers_itself_says_nothing_of_the_service(
    serve: Serve, proxied: Callable[[str], None], status: int, headers: dict[str, str], ok: bool | None, reason: str
) -> None:
    proxied(serve(status=status, headers=headers).rstrip("/"))
    taken = sample(Http(), "http://shop.example/health")
    assert (taken.ok, reason in taken.reason) == (ok, True), taken.reason


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "gopher://127.0.0.1:1", "http://127.0.0.1:port"])
def test_a_proxy_that_cannot_be_used_is_named_and_nothing_is_measured(
    proxy: str, proxied: Callable[[str], None]
) -> None:
    proxied(proxy)
    taken = sample(Http(), "http://shop.example/health")
    assert (taken.ok, f"through the proxy {proxy}" in taken.reason) == (None, True), taken.reason


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(DOCUMENTS)
def test_good_is_exactly_true(document: Any) -> None:
    answer = Answer("http://probe/", 200, json.dumps({"value": document}).encode(), 0.001)
    taken = Http(expect="value").judge(answer)
    assert (taken.ok is True) == (document is True)
    assert (taken.ok is False) == (document is False)


@given(st.binary(max_size=200))
def test_no_answer_is_an_error(body: bytes) -> None:
    for expect in ("value", "value > `1`", "length(@) > `1`", "to_number(@) > `1`"):
        assert Http(expect=expect).judge(Answer("http://probe/", 200, body, 0.001)).ok in (True, False, None)
