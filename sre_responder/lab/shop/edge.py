"""The edge: sends each request to a usable region, and takes HAProxy's runtime commands on a Unix socket."""

from __future__ import annotations

import http.client
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from haproxy import Backend, Server  # type: ignore[import-not-found] # a script: its neighbour is found beside it


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = 503, b"no region is usable\n"
        server = backend.choose()
        if server:
            region = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
            try:
                region.request("GET", self.path)
                answer = region.getresponse()
                status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                status, body = 502, f"{server.name} did not answer: {error!r}\n".encode()
            finally:
                region.close()
                backend.done(server, status)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Runtime(socketserver.StreamRequestHandler):
    """One line, one answer, and the connection ends: HAProxy's way when it is not asked to prompt."""

    def handle(self) -> None:
        self.wfile.write(backend.answer(self.rfile.readline(16384).decode("utf-8", "replace").rstrip("\n")).encode())


if __name__ == "__main__":
    port, path, *regions = sys.argv[1:]
    servers = [given.split(":") for given in regions]
    backend = Backend([Server(name, int(number), state) for name, number, state in servers])
    Path(path).unlink(missing_ok=True)  # left by an edge that was restarted
    runtime = socketserver.ThreadingUnixStreamServer(path, Runtime)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
