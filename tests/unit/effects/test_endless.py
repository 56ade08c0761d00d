"""Platforms that never stop answering, or answer too slowly: what is read of them has an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.dripping import dripping

from ansible_collections.sre.responder.plugins.module_utils._restart import RestartError, looked_at
from sre_responder.effects.http_cache import PURGE
from sre_responder.effects.route53.failover import FAILOVER
from sre_responder.effects.supervisor import RESTART
from sre_responder.errors import EffectFailed, InputError
from sre_responder.system.deadline import DeadlinePassed, deadline


@pytest.fixture
def endless() -> Iterator[tuple[str, list[int]]]:
    """An address whose answers have no end, and how many bytes each of them came to before the reader went away."""
    sent: list[int] = []

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.end_headers()
            written = 0
            with suppress(OSError):
                while written < 64 << 20:
                    written += self.wfile.write(b"x" * 65536)
            sent.append(written)

        do_GET = do_POST = do_HEAD = do_PURGE = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()  # waits for the answers under way
    assert sent and all(one < 32 << 20 for one in sent)


def test_supervisord_that_never_stops_answering_is_told(endless: tuple[str, list[int]]) -> None:
    with pytest.raises(InputError, match="larger than 1048576 bytes"):
        RESTART.plan({"server": endless[0], "program": "web"})


def test_supervisord_that_never_stops_answering_its_host_is_told(endless: tuple[str, list[int]]) -> None:
    restart = {"http": None, "supervisor": {"server": endless[0], "program": "web"}, "seconds": 5}
    with pytest.raises(RestartError, match="larger than 1048576 bytes"):
        looked_at(restart)


def test_of_a_cache_that_never_stops_answering_nothing_but_the_head_is_read(endless: tuple[str, list[int]]) -> None:
    words = {"url": f"{endless[0]}/", "method": "PURGE"}
    change = PURGE.plan(words)
    assert PURGE.act(words, change)["status"] == 200


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options of a failover in Route 53, with credentials of nobody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return {"zone": "Z0000000000", "record": "www.shop.example", "to": "green"}


def test_route_53_that_never_stops_answering_is_told(endless: tuple[str, list[int]], zone: dict[str, str]) -> None:
    with pytest.raises(EffectFailed, match="sent no answer that can be read"):
        FAILOVER.plan({**zone, "endpoint_url": endless[0]})


@pytest.fixture
def slow() -> Iterator[str]:
    with dripping(0.01) as (address, gone):
        yield address
        assert gone.wait(10), "the connection is closed, so that nothing is left behind"


def test_supervisord_that_answers_one_byte_at_a_time_ends_at_the_deadline_of_the_plan(slow: str) -> None:
    with pytest.raises(DeadlinePassed), deadline(0.3):
        RESTART.plan({"server": slow, "program": "web"})


def test_a_cache_that_answers_one_byte_at_a_time_ends_at_the_deadline_of_the_plan(slow: str) -> None:
    with pytest.raises(DeadlinePassed), deadline(0.3):
        PURGE.plan({"url": f"{slow}/", "method": "PURGE"})


def test_route_53_that_answers_one_byte_at_a_time_ends_at_the_deadline_of_the_plan(
    slow: str, zone: dict[str, str]
) -> None:
    with pytest.raises(DeadlinePassed), deadline(3):
        FAILOVER.plan({**zone, "endpoint_url": slow})
