"""Customers: about forty requests a second, and what they saw in the last second as /health.json."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WINDOW_SECONDS = 0.8
seen: deque[tuple[float, bool, float]] = deque(maxlen=500)


def shop(edge: int, paths: tuple[str, ...]) -> None:
    while True:
        for path in paths:
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", edge, timeout=1)
            try:
                connection.request("GET", path)
                good = connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                good = False
            finally:
                connection.close()
            seen.append((time.monotonic(), good, time.monotonic() - began))
            time.sleep(0.05)


def health() -> dict[str, object]:
    now = time.monotonic()
    recent = [row for row in list(seen) if now - row[0] <= WINDOW_SECONDS]
    slowest = sorted(row[2] for row in recent)
    return {
        "requests": len(recent),
        "success_rate": round(sum(row[1] for row in recent) / len(recent), 3) if recent else None,
        "p95_ms": round(slowest[int(len(slowest) * 0.95)] * 1000, 1) if slowest else None,
        "window_s": WINDOW_SECONDS,
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(health()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    for paths in (("/", "/cart/1"), ("/cart/2", "/")):
        threading.Thread(target=shop, args=(int(sys.argv[2]), paths), daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
