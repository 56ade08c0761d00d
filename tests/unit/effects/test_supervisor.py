"""What the address of a supervisord may say, and how its login is given."""

from __future__ import annotations

import base64
import os
import threading
import xmlrpc.client
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.answering import answering

from ansible_collections.sre.responder.plugins.module_utils._restart import RestartError, looked_at
from sre_responder.effects.http_cache import PURGE
from sre_responder.effects.supervisor import RESTART
from sre_responder.errors import InputError


@pytest.mark.parametrize("login", ["ops:s3cret@", "s3cret@", ":s3cret@", "ops:s3/cret@"])
def test_an_address_with_a_login_is_refused_without_showing_it(login: str) -> None:
    url = f"http://{login}127.0.0.1:1"
    for effect, words in ((RESTART, {"server": url, "program": "web"}), (PURGE, {"url": url})):
        with pytest.raises(InputError) as refused:
            effect.plan(words)
        assert "cret" not in str(refused.value)


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, Path.mkdir, os.mkfifo])
def test_what_is_no_socket_is_bad_input(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "s")
    with pytest.raises(InputError, match="cannot be asked"):
        RESTART.plan({"server": f"unix://{tmp_path}/s", "program": "web"})


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail ESMTP\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 404 No\r\n\r\n"]
)
def test_what_is_no_supervisord_is_bad_input(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(InputError, match="cannot be asked"):
        RESTART.plan({"server": url, "program": "web"})
    with answering(answer) as url, pytest.raises(RestartError, match="cannot be asked"):
        looked_at({"http": None, "supervisor": {"server": url, "program": "web"}})


def test_username_and_password_reach_supervisord_and_no_error_shows_them() -> None:
    seen: list[str | None] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.rfile.read(int(self.headers["Content-Length"]))
            body = xmlrpc.client.dumps(xmlrpc.client.Fault(1, "NOT_NOW")).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        words = {"server": f"http://127.0.0.1:{server.server_port}", "username": "ops", "password": "s3cret"}
        with pytest.raises(InputError, match="NOT_NOW") as refused:
            RESTART.plan({**words, "program": "web"})
        thread.join()
    assert seen == ["Basic " + base64.b64encode(b"ops:s3cret").decode()]
    assert "s3cret" not in str(refused.value)
