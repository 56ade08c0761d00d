"""A server that answers each connection with these bytes, whatever it is asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Its address."""

    def serve() -> None:
        with suppress(OSError):  # the end of the block shuts it
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):  # who hung up wants no answer
                    connection.recv(4096)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
