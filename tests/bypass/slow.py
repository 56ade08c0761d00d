"""A run that waits where the test wants it to: its module reads the deployment history from a pipe."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bypass.world import World

HISTORY = b"2026-01-01T00:00:00Z 1\n2026-01-02T00:00:00Z 2\n"


@contextmanager
def slow(world: World, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose module reads the deployment history from a pipe: in planning and in acting it waits until somebody writes."""
    os.mkfifo(world.root / "history")
    world.write(
        lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(history=str(world.root / "history"))
    )
    run = subprocess.Popen(
        command or world.command(), env=world.environ, cwd=world.root, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.kill()
        if (
            left := _opened(world.root / "history")
        ) is not None:  # a module that still waits reads an empty history, and ends
            os.close(left)
        run.communicate()


@contextmanager
def reading(world: World) -> Iterator[int]:
    """Within it the module has opened the history and waits for it."""
    pipe = eventually(lambda: _opened(world.root / "history"), "nobody reads the history")
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
    """Within it the plan was made and allowed, and the module waits for the history once more, to act."""
    with reading(world) as pipe:
        os.write(pipe, HISTORY)
    eventually(lambda: world.started() or None, "no action was started")
    with reading(world) as pipe:
        yield pipe


def eventually(look: Callable[[], int | None], otherwise: str) -> int:
    """What `look` gives, once it gives something."""
    until = time.monotonic() + 30
    while (found := look()) is None:
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)
    return found
