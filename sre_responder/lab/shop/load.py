"""Customers: about forty requests a second, and what they saw in the last moment as /health.json."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

WINDOW_SECONDS = 0.8
START_SECONDS = 5


class Visit(NamedTuple):
    at: float
    good: bool
    seconds: float


seen: deque[Visit] = deque(maxlen=500)


def visit(edge: int, path: str) -> Visit:
    """One request, as a customer makes it: anything but 200 within a second is bad."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", edge, timeout=1)
    try:
        connection.request("GET", path)
        good = connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        good = False
    finally:
        connection.close()
    return Visit(time.monotonic(), good, time.monotonic() - began)


def shop(edge: int, paths: tuple[str, ...]) -> None:
    until = time.monotonic() + START_SECONDS
    while not visit(edge, paths[0]).good and time.monotonic() < until:
        time.sleep(0.02)  # the others are starting: nobody shops before the doors open
    while True:
        for path in paths:
            seen.append(visit(edge, path))
            time.sleep(0.05)


def health() -> dict[str, object]:
    """Over the last moment; null where nobody asked for anything."""
    now = time.monotonic()
    recent = [one for one in list(seen) if now - one.at <= WINDOW_SECONDS]
    seconds = sorted(one.seconds for one in recent)
    return {
        "requests": len(recent),
        "success_rate": round(sum(one.good for one in recent) / len(recent), 3) if recent else None,
        "p95_ms": round(seconds[int(len(seconds) * 0.95)] * 1000, 1) if seconds else None,
        "window_s": WINDOW_SECONDS,
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(health()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    for paths in (("/", "/cart/1"), ("/cart/2", "/")):
        threading.Thread(target=shop, args=(int(sys.argv[2]), paths), daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
