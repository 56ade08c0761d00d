"""A run that waits where the test wants it to: its module begins when somebody writes into a pipe."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bypass.world import Play, World

HISTORY = b"2026-01-01T00:00:00Z 1\n2026-01-02T00:00:00Z 2\n"


@contextmanager
def slow(world: World, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose module waits in planning and in acting until somebody writes: a history may be no pipe, an interpreter may read one."""
    os.mkfifo(world.root / "history")
    world.write(lambda play: waits(world, play))
    run = subprocess.Popen(
        command or world.command(), env=world.environ, cwd=world.root, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.kill()
        if (left := _opened(world.root / "history")) is not None:  # a module that still waits begins
            os.close(left)
        run.communicate()


def waits(world: World, play: Play) -> None:
    """Let the modules of a play wait for the pipe before they begin."""
    interpreter = world.root / "waiting-python"
    interpreter.write_text(f"#!/bin/sh\nread -r _ <'{world.root}/history'\nexec '{sys.executable}' \"$@\"\n")
    interpreter.chmod(0o755)
    play["vars"]["ansible_python_interpreter"] = str(interpreter)


@contextmanager
def reading(world: World) -> Iterator[int]:
    """Within it the module has opened the pipe and waits for it."""
    pipe = eventually(lambda: _opened(world.root / "history"), "nobody reads the pipe")
    try:
        yield pipe
    finally:
        os.close(pipe)


def _opened(pipe: Path) -> int | None:
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        assert error.errno == errno.ENXIO  # no reader yet
        return None


@contextmanager
def acting(world: World) -> Iterator[int]:
    """Within it the plan was made and allowed, and the module waits for the pipe once more, to act."""
    with reading(world) as pipe:
        os.write(pipe, HISTORY)
    eventually(lambda: world.started() or None, "no action was started")
    with reading(world) as pipe:
        yield pipe


def eventually(look: Callable[[], int | None], otherwise: str) -> int:
    """What `look` gives, once it gives something."""
    until = time.monotonic() + 300
    while (found := look()) is None:
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)
    return found
