"""The edge: sends each request to a ready region, and takes the runtime commands of HAProxy that the effect needs."""

from __future__ import annotations

import http.client
import itertools
import os
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BACKEND = "checkout"
states: dict[str, str] = {}
ports: dict[str, int] = {}
turn = itertools.count()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = [name for name, state in states.items() if state == "ready"]
        status, body = 503, b"{}"
        if ready:
            region = http.client.HTTPConnection("127.0.0.1", ports[ready[next(turn) % len(ready)]], timeout=2)
            try:
                region.request("GET", self.path)
                answer = region.getresponse()
                status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                status = 502
            finally:
                region.close()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Runtime(socketserver.StreamRequestHandler):
    """`show stat` and `set server BACKEND/NAME state STATE`, answered as HAProxy 2.6 answers them."""

    def handle(self) -> None:
        words = self.rfile.readline().decode().split()
        self.wfile.write((answer(words) + "\n").encode())


def answer(words: list[str]) -> str:
    if words == ["show", "stat"]:
        status = {"ready": "no check", "drain": "DRAIN", "maint": "MAINT"}
        rows = [f"{BACKEND},{name},{status[state]},1,0," for name, state in states.items()]
        return "\n".join(["# pxname,svname,status,weight,scur,", *rows, f"{BACKEND},BACKEND,UP,{len(states)},0,", ""])
    if words[:2] == ["set", "server"] and len(words) == 5 and words[3] == "state":
        backend, _, name = words[2].partition("/")
        if backend != BACKEND:
            return "No such backend.\n"
        if name not in states:
            return "No such server.\n"
        if words[4] not in ("ready", "drain", "maint"):
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
        states[name] = words[4]
        return ""
    return "Unknown command.\n"


if __name__ == "__main__":
    port, path = int(sys.argv[1]), sys.argv[2]
    for given in sys.argv[3:]:
        name, number, state = given.split(":")
        ports[name], states[name] = int(number), state
    if os.path.exists(path):
        os.unlink(path)
    runtime = socketserver.ThreadingUnixStreamServer(path, Runtime)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
