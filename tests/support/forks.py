"""Commands without the time that their imports take: each is forked from a process that has imported the library.

What it is then is what a start would have made it: a process of its own, with its command and environment in /proc, that ends with its own
code. Two things differ: its parent is that process, and whatever Python and the linker read as they start is that process's. So a test of
signals, of parents, or of such variables uses the real command, and so does what starts in another environment than `ORDINARY` says.
What a forked `responder run` drives is Ansible's real command, as ever.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from support.forking import LONGEST

ORDINARY = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
"""What Python reads as it starts, as every forked command has it."""
_READ_AT_START = ("GLIBC_", "LANG", "LC_", "LD_", "MALLOC_", "PYTHON")


def run(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python environment to its end, without input, as subprocess.run does."""
    at_start = {name: value for name, value in environ.items() if name.startswith(_READ_AT_START)}
    assert at_start == ORDINARY, f"{at_start} needs a Python that is started so"
    channel = _channel()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained, open(os.devnull) as nothing:
        streams = [nothing.fileno(), said.fileno(), complained.fileno()]
        socket.send_fds(channel, [json.dumps([command, environ, str(folder)]).encode()], streams)
        child = int(channel.recv(LONGEST))
        channel.settimeout(timeout)
        try:
            code = int(channel.recv(LONGEST))
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            channel.settimeout(None)
            channel.recv(LONGEST)
            raise subprocess.TimeoutExpired(command, timeout) from None
        finally:
            channel.settimeout(None)
        texts = []
        for file in (said, complained):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess([*command], code, *texts)


@cache
def _channel() -> socket.socket:
    """To the process that forks: one for all tests of this process, ended with it."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    room = {"ROOM": " " * (LONGEST // 2)}
    with its:
        words = [sys.executable, "-m", "support.forking", str(its.fileno()), " " * (LONGEST // 8)]
        server = subprocess.Popen(
            words, env={**ORDINARY, "PATH": os.environ["PATH"], **room}, stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()], cwd=Path(__file__).parents[1],
        )  # fmt: skip

    def end() -> None:
        mine.close()
        server.wait()

    atexit.register(end)
    return mine
