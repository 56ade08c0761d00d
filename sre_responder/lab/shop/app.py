"""The checkout service: serves what its current release says. SIGUSR1 wedges it until it is restarted."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

wedged = False


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        release = json.loads((root / "current" / "release.json").read_text())
        status = 500 if wedged or release["behaviour"] == "bad" else 200
        if status == 200 and self.path.startswith("/cart"):
            with urllib.request.urlopen(dependency, timeout=2) as answer:
                status = answer.status
        body = json.dumps({"release": release["version"], "ok": status == 200}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        if code != 200:
            print(f"{self.path} {code}", flush=True)


def wedge(*_: object) -> None:
    global wedged
    wedged = True


if __name__ == "__main__":
    root, dependency = Path(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGUSR1, wedge)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
