"""A program of this machine that only reads: run only where nobody else can replace it, and heard only if it ends well."""

from __future__ import annotations

import os
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sre_responder.system.prove import MARK, PLAY_MARK

_LIMIT_BYTES = 4096
_PLAIN = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_POLL_S = 0.01


def unfit(path: Path) -> str | None:
    """Why a program is not run: it is none, or others than root and this user could put another in its place."""
    real = Path(os.path.realpath(path))
    if real != path:
        return f"{path} is, or leads through, a link, which can be changed to lead elsewhere: write {real}"
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
            return f"{path} is not a program that this user may run"
        for place in (path, *path.parents):
            status = place.lstat()
            if status.st_uid not in (0, os.geteuid()):
                return f"{place} belongs to another user, who could replace the program: chown root {place}"
            if status.st_mode & 0o022 and not (place != path and status.st_mode & stat.S_ISVTX):
                return f"{place} can be written by others, who could replace the program: chmod go-w {place}"
    except OSError as error:
        return f"{path} cannot be run: {error.strerror}"
    return None


def printed(words: Sequence[str], variables: Mapping[str, str], seconds: float) -> str:
    """What a program prints, stripped. ValueError, which never holds what it printed, where it ends badly, late, or says nothing."""
    program, until = words[0], time.monotonic() + seconds
    if why := unfit(Path(program)):
        raise ValueError(why)
    with _started(words, variables) as process:
        data = _read(process, until)
        while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
            if data is None or len(data) > _LIMIT_BYTES or time.monotonic() > until:
                break
            time.sleep(_POLL_S)
    if data is not None and len(data) > _LIMIT_BYTES:
        raise ValueError(f"{program} prints more than {_LIMIT_BYTES} bytes, and was cut short")
    if data is None or ended is None:
        raise ValueError(f"{program} did not end within {seconds:g} s")
    if process.returncode < 0:
        raise ValueError(f"{program} was ended by signal {-process.returncode}")
    if process.returncode != 0:
        raise ValueError(f"{program} exits {process.returncode}")
    return _line(program, data)


def _line(program: str, data: bytes) -> str:
    """The one line of text that was printed."""
    try:
        text = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{program} prints what is not UTF-8 text") from error
    if not text:
        raise ValueError(f"{program} prints nothing")
    if not text.isprintable():
        raise ValueError(f"{program} prints more than one line, or control characters")
    return text


@contextmanager
def _started(words: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which bears the mark of its run, and is gone with its group when the block ends."""
    marks = {name: os.environ[name] for name in (MARK, PLAY_MARK) if name in os.environ}
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
        env={**_PLAIN, **variables, **marks}, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it was not waited for, so the number is still its own


def _read(process: subprocess.Popen[bytes], until: float) -> bytes | None:
    """All that it prints, or a little more than it may; None if it does not come to an end in time."""
    assert process.stdout is not None
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(data) <= _LIMIT_BYTES:
            if not selector.select(max(0.0, until - time.monotonic())):
                return None
            piece = os.read(process.stdout.fileno(), _LIMIT_BYTES)
            if not piece:
                break
            data += piece
    return data
