"""A platform that answers one byte at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def dripping(pause_s: float) -> Iterator[tuple[str, threading.Event]]:
    """Its address, and an event that is set once the reader has gone away. Each byte comes in time for a timeout of its own."""
    gone = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-")
            while True:
                connection.sendall(b"x")
                time.sleep(pause_s)  # the slowness that is tested, not a wait for something
        gone.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", gone
