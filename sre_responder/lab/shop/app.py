"""The checkout service: runs the code of its current release. SIGUSR1 wedges it until it is restarted."""

from __future__ import annotations

import json
import runpy
import signal
import sys
import time
import traceback
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

wedged = False


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            if wedged:
                raise RuntimeError("no worker is free: all wait for a lock that nobody holds")
            release = (root / "current").resolve()
            with urllib.request.urlopen(inventory, timeout=2) as answer:
                page = runpy.run_path(str(release / "checkout.py"))["respond"](self.path, json.load(answer))
            status, body = 200, json.dumps({"release": release.name, **page})
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            status, body = 500, f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
            print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), self.path, status, body, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Errors alone are logged."""


def wedge(*_: object) -> None:
    global wedged
    wedged = True


if __name__ == "__main__":
    root, inventory = Path(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGUSR1, wedge)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
