"""A command that is forked is what a start would have made it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import forks

FACTS = """
import json, locale, os, sys, threading
def texts(name):
    with open(f"/proc/self/{name}", "rb") as file:
        return file.read().decode().rstrip("\\0").split("\\0")
print(json.dumps({
    "command": texts("cmdline")[1:], "environment": texts("environ"), "name": texts("comm"), "variables": dict(os.environ),
    "arguments": [sys.argv, sys.orig_argv[1:]], "main": __name__, "path": sys.path[0], "folder": os.getcwd(), "group": [os.getpgrp(), os.getsid(0)],
    "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], "threads": threading.active_count(),
    "terminal": [stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)], "input": sys.stdin.read(),
    "settings": [sys.dont_write_bytecode, sys.stdout.encoding, locale.getpreferredencoding(), os.umask(0)],
    "forked": os.waitstatus_to_exitcode(os.wait()[1]) if os.fork() else os._exit(len(texts("cmdline")) + len(texts("environ"))),
}))
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "some-program"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**forks.ORDINARY, "PATH": os.environ["PATH"], "HOME": str(tmp_path), "EMPTY": "", "RESPONDER_RUN": "ü=1"}


def test_it_sees_of_itself_what_a_started_one_sees(tmp_path: Path, environ: dict[str, str]) -> None:
    command = [str(program(tmp_path, FACTS)), "a word", "", "ü"]
    started = subprocess.run(
        command, env=environ, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    forked = forks.run(command, environ, tmp_path, timeout=60)
    assert (forked.returncode, forked.stderr) == (0, "")
    assert facts(forked) == facts(started)


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("raise OSError('broken')", 1),
        (f"import os; os.kill(os.getpid(), {signal.SIGKILL})", -signal.SIGKILL),
        (f"import os; os.kill(os.getpid(), {signal.SIGTERM})", -signal.SIGTERM),
    ],
)
def test_it_ends_with_its_own_code(tmp_path: Path, environ: dict[str, str], text: str, code: int) -> None:
    done = forks.run([str(program(tmp_path, text))], environ, tmp_path, timeout=60)
    assert (done.returncode, "OSError: broken" in done.stderr) == (code, code == 1)


def test_what_one_does_to_its_process_reaches_no_other(tmp_path: Path, environ: dict[str, str]) -> None:
    forgets = program(
        tmp_path, "import os, sre_responder\nos.chdir('/'), os.environ.clear(), vars(sre_responder).clear()"
    )
    assert forks.run([str(forgets)], environ, tmp_path, timeout=60).returncode == 0
    remembers = program(
        tmp_path, "import os, sre_responder\nprint(os.getcwd(), os.environ['EMPTY'], sre_responder.__name__)"
    )
    assert forks.run([str(remembers)], environ, tmp_path, timeout=60).stdout == f"{tmp_path}  sre_responder\n"


def test_one_that_takes_too_long_is_killed(tmp_path: Path, environ: dict[str, str]) -> None:
    endless = str(program(tmp_path, "import time\ntime.sleep(600)"))
    with pytest.raises(subprocess.TimeoutExpired):
        forks.run([endless], environ, tmp_path, timeout=1)
    assert [one.pid for one in psutil.process_iter(["cmdline"]) if endless in (one.info["cmdline"] or [])] == []


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "LC_ALL"])
def test_what_python_would_read_as_it_starts_needs_a_start(tmp_path: Path, environ: dict[str, str], name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        forks.run([str(program(tmp_path, ""))], {**environ, name: "x"}, tmp_path, timeout=60)
