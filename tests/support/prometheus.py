"""A real Prometheus whose history was written before it started."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

START_SECONDS = 20


@contextmanager
def prometheus(program: Path, promtool: Path, folder: Path, history: str) -> Iterator[str]:
    """Its address. The history is OpenMetrics text, all samples of one metric together; nothing is scraped."""
    (folder / "history").write_text(f"{history}# EOF\n")
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    words = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", folder / "history", folder / "data"]
    subprocess.run([promtool, *words], check=True, capture_output=True, timeout=60)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # held, so that no other test is given it
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
        options = [
            f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={place}", "--storage.tsdb.retention.time=30d",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until = time.monotonic() + START_SECONDS
            while not _ready(f"http://{place}"):
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"http://{place}"
        finally:
            process.terminate()
            process.wait(10)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False
