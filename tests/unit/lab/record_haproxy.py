"""Ask a real HAProxy what the lab's edge is asked, and print the answers: how haproxy-2.6.json was made.

python tests/unit/lab/record_haproxy.py /usr/sbin/haproxy > tests/unit/lab/haproxy-2.6.json
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGURATION = """
global
  stats socket {path} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
frontend shop
  bind 127.0.0.1:{port}
  default_backend checkout
backend checkout
  server east 127.0.0.1:18081 weight 100
  server west 127.0.0.1:18082 weight 100
"""
STATE = ["show stat", "show servers state checkout"]
COMMANDS = [
    *STATE,
    "show servers state",
    "show servers state nope",
    "show stat checkout 4 -1",
    "show stat nope 4 -1",
    "show cli level",
    "show backend",
    "show info",
    *("set server checkout/west state drain", *STATE),
    *("set server checkout/west state maint", *STATE),
    *("set server checkout/west state ready", *STATE),
    *("set server checkout/east weight 50%", "get weight checkout/east", *STATE),
    *("set server checkout/east weight 0", *STATE),
    *("set server checkout/east weight 256", *STATE),
    *("set server checkout/east weight 400%", "get weight checkout/east"),
    "set server checkout/east weight 257",
    "set server checkout/east weight -1",
    "set server checkout/east weight -1%",
    "set server checkout/east weight x",
    "set server checkout/east weight 5x",
    "set server checkout/east weight",
    "get weight checkout/nope",
    "get weight nope/east",
    "get weight checkout",
    "set server checkout/nope state drain",
    "set server nope/east state drain",
    "set server nope/east state gone",
    "set server checkout state drain",
    "set server checkout/east state gone",
    "set server checkout/east state",
    "set server checkout/east color red",
    "set server checkout/east",
    "set server",
    *("set server checkout/west state drain; set server checkout/east state drain", *STATE),
    *("  set  server checkout/west  state ready ", *STATE),
    "show stat; show servers state",
]


def ask(path: str, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(command.encode() + b"\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


def record(program: str) -> list[list[str]]:
    """Every command with its answer, in one life of one HAProxy."""
    with tempfile.TemporaryDirectory(prefix="hap-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        path = f"{folder}/socket"
        (Path(folder) / "haproxy.cfg").write_text(CONFIGURATION.format(path=path, port=port))
        haproxy = subprocess.Popen(
            [program, "-db", "-f", f"{folder}/haproxy.cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + 10
            while True:
                try:
                    ask(path, "show info")
                    break
                except OSError:
                    if haproxy.poll() is not None or time.monotonic() > until:
                        raise
                    time.sleep(0.02)
            return [[command, ask(path, command)] for command in COMMANDS]
        finally:
            haproxy.terminate()
            haproxy.wait(10)


if __name__ == "__main__":
    print(json.dumps(record(sys.argv[1]), indent=1))
