"""One lab a test, in a short folder, and the command as a user types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import forks

from sre_responder.lab import sandbox
from sre_responder.lab.lab import Lab

RESPONDER = Path(sys.executable).parent / "responder"


@dataclass(frozen=True)
class Shop:
    """A lab that is up, and `responder` in its home."""

    lab: Lab
    environ: dict[str, str]

    def responder(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.run([str(RESPONDER), *arguments], self.environ, self.lab.folder, timeout=90)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(RESPONDER), *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def climb(self, environment: str = "staging", *more: str) -> list[str]:
        names = ["--incident", self.lab.incident, "--service", "checkout", "--environment", environment]
        return ["run", "service-errors", *names, "--json", *more]


@pytest.fixture
def shop() -> Iterator[Shop]:
    folder = Path(tempfile.mkdtemp(prefix="sre-test-"))
    lab = sandbox.up(folder)
    named = {"RESPONDER_HOME": str(lab.home), "RESPONDER_LEDGER": lab.ledger}
    environ = {**forks.ORDINARY, "HOME": str(folder), "PATH": os.environ["PATH"], "COLUMNS": "200", **named}
    try:
        yield Shop(lab, environ)
    finally:
        left = sandbox.down(folder)
        shutil.rmtree(folder, ignore_errors=True)
        assert left == []


@pytest.fixture
def without_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`responder` for somebody who has no home yet."""
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(RESPONDER), *arguments],
            env=environ,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
