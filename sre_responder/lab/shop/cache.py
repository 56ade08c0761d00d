"""The cache in front of the east region: keeps good answers of `/`, takes PURGE and BAN, and is cut off when its uplink is.

POST / (the lab's fault) keeps a broken page as if the origin had sent it. While the uplink is cut, no page gets out;
PURGE still works, for an operator stands on the same side as the cache.
"""

from __future__ import annotations

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

kept: dict[str, tuple[int, bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if uplink_cut.exists():
            self.close_connection = True  # no answer at all
            return
        if self.path in kept:
            self.answer(*kept[self.path], "HIT")
            return
        origin = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]), timeout=2)
        try:
            origin.request("GET", self.path)
            reply = origin.getresponse()
            found = (reply.status, reply.read())
        except (OSError, http.client.HTTPException) as error:
            found = (502, f"checkout did not answer: {error!r}\n".encode())
        finally:
            origin.close()
        if found[0] == 200 and self.path == "/":
            kept[self.path] = found
        self.answer(*found, "MISS")

    do_HEAD = do_GET

    def do_PURGE(self) -> None:
        """Varnish's and Squid's way: 404 says that it was not kept."""
        self.answer(200 if kept.pop(self.path, None) else 404, b"", "PURGE")

    def do_BAN(self) -> None:
        kept.clear()
        self.answer(200, b"", "BAN")

    def do_POST(self) -> None:
        kept["/"] = (500, b"a broken page, and kept\n")
        self.answer(200, b"", "POISON")

    def answer(self, status: int, body: bytes, how: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Cache", how)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    uplink_cut = Path(sys.argv[3])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
