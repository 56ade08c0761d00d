"""What answers at HAProxy's socket and is not HAProxy: bad input, never a plan and never a crash."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sre_responder.effects.haproxy import FAILOVER
from sre_responder.errors import InputError

HEAD = "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_uweight\n"


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[Path]:
    """A socket that gives the same answer to every command."""

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if not connection.recv(65536):
                    return
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            with socket.socket(socket.AF_UNIX) as last:  # says nothing, which ends the serving
                last.connect(str(path))
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"Permission denied\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"Unknown command.\nhelp : this message\n",
        b"\xff\x00\xfe\n\x00\n",
        b"1\n# be_name srv_name\ncheckout east\n",
        HEAD.encode() + b"3 checkout\n",
        HEAD.encode() + b"3 checkout 1 east up 0 1\n",
        HEAD.encode() + b"3 other 1 east 2 0 1\n",
        HEAD.encode() + b"# x" * 100_000,
    ],
)
def test_an_answer_without_servers_of_the_backend_is_bad_input(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "s", answer) as path, pytest.raises(InputError):
        FAILOVER.plan({"socket": path, "backend": "checkout", "to": "east"})


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch(), lambda path: path.mkdir()])
def test_what_is_no_socket_is_bad_input(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "s")
    with pytest.raises(InputError, match="show servers state"):
        FAILOVER.plan({"socket": tmp_path / "s", "backend": "checkout", "to": "east"})


@pytest.mark.parametrize("option", ["backend", "to"])
@pytest.mark.parametrize("value", ["", "a b", "a\nset server x/y state maint", "a;b", "{{ x }}", "\u0430", "x" * 129])
def test_a_name_that_could_be_another_command_is_refused(tmp_path: Path, option: str, value: str) -> None:
    rows = HEAD + "3 checkout 1 east 2 0 1\n3 checkout 2 west 2 0 1\n"
    with answering(tmp_path / "s", rows.encode()) as path, pytest.raises(InputError, match=f"^{option} '"):
        FAILOVER.plan({"socket": path, "backend": "checkout", "to": "east", option: value})
