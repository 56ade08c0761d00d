"""`responder serve` as a process, in a home that receives alerts; ended by its pid, and its runs with it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from sre_responder.ledger import Ledger, jobs
from support.alerting import TOKEN

RESPONDER = Path(sys.executable).parent / "responder"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(reached: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


class Server:
    """One server on a free port; it may be killed and started again."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self.environ, self.folder, self.port = (
            {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ},
            folder,
            free_port(),
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.verify: ssl.SSLContext | bool = True

    def start(self) -> None:
        with open(self.folder / f"serve-{self.port}.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(RESPONDER), "serve", "--listen", f"127.0.0.1:{self.port}"],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(self.answers, f"the server answers: {self.said()}")

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.said()
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", verify=self.verify).status_code == 200
        return False

    def said(self) -> str:
        return (self.folder / f"serve-{self.port}.log").read_text()

    def post(self, content: str, token: str = TOKEN) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{self.url}/alerts", content=content, headers=headers, timeout=60, verify=self.verify)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)


def end_workers(ledger_url: str) -> None:
    """End every run that a test's servers started: it is known by the ledger of the test."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("RESPONDER_LEDGER") == ledger_url and process.pid != os.getpid():
                process.kill()


def all_jobs(ledger: Ledger) -> list[Any]:
    with ledger.transaction(reading=True) as connection:
        return list(connection.execute(jobs.jobs.select()))
