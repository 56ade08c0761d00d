"""The home while a server runs: read again when one of its files has changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sre_responder.home import TRUSTED, Home

_LOOK_SECONDS = 1.0

Stamp = tuple[tuple[str, int, int, int], ...]


class Homes:
    """`find` reads the home anew. Whoever asks gets the home as its files say now, or the InputError of what is wrong with it."""

    def __init__(self, find: Callable[[], Home]) -> None:
        self._find, self._lock = find, threading.Lock()
        self._home, self._looked = find(), float("-inf")
        self._stamp = stamp(self._home.folder)

    def now(self) -> Home:
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                self._looked, seen = time.monotonic(), stamp(self._home.folder)
                if seen != self._stamp:
                    self._home, self._stamp = self._find(), seen
            return self._home


def stamp(folder: Path) -> Stamp:
    """What changes when a file of the home does."""
    return tuple(sorted(_stamps(folder)))


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for name in (*TRUSTED, "catalogue", "inventory", "inventory.yml"):
        path = folder / name
        below = (Path(root, file) for root, _, files in os.walk(path) for file in files) if path.is_dir() else (path,)
        for file in below:
            try:
                found = file.stat()
            except OSError:
                continue
            yield str(file), found.st_mtime_ns, found.st_size, found.st_ino
