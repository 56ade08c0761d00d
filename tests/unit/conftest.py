"""What several unit tests need: an HTTP server on loopback, an empty ledger, a history to tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings
from support import disk, ledgers, size
from support.history import History

from sre_responder.ledger import Ledger

settings.register_profile("unit", deadline=None, max_examples=size.of(25, 100))  # a busy machine is no failure
settings.load_profile("unit")

disk.ledgers_wait_for_no_disk()


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "told")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(BODY, status=, headers=, seen=)` is the address of a server that answers so, and keeps what it was sent in `seen`."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        body: Iterable[bytes] = (),
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        seen: list[bytes] | None = None,
    ) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if seen is not None:
                    seen.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                for part in body:
                    self.wfile.write(part)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def now() -> list[float]:
    """The clock of `ledger`: its one number may be set."""
    return [1_000_000.0]


@pytest.fixture
def ledger(tmp_path: Path, now: list[float]) -> Ledger:
    url = f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
    return ledgers.make(Ledger(url, clock=lambda: now[0], boot=lambda: ("boot", now[0])))
