"""A control group of a run's own, where this process may make one: what empties its environment stays in it (cgroups(7), version 2)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sre_responder.system.process import PROC
from sre_responder.system.prove import GROUP

_NEW_SECONDS = 60


@contextmanager
def group(run: str) -> Iterator[Path | None]:
    """The group, below the one of this process; None where none can be made. It goes with the last of its processes."""
    place = _place(run)
    try:
        if place is not None:
            place.mkdir()
            _sweep(place)
    except OSError:  # not root, nobody delegated it, or it is mounted for reading only
        place = None
    try:
        yield place
    finally:
        if place is not None:
            with suppress(OSError):  # what could not be ended is still in it, and found by it
                place.rmdir()


def _sweep(place: Path) -> None:
    """Remove the groups that killed drivers left; one that is not empty stays. A new one may wait for its first process still."""
    for other in place.parent.glob(f"{GROUP}*"):
        with suppress(OSError):
            if time.time() - other.stat().st_mtime > _NEW_SECONDS:
                other.rmdir()


def join(place: Path | None, pid: int) -> None:
    """Put a process that was just started into the group; all that it starts will be there too."""
    if place is not None:
        with suppress(OSError):
            (place / "cgroup.procs").write_text(str(pid))


def _place(run: str) -> Path | None:
    """Where the group of a run belongs, by this process's own; None where version 2 is not mounted."""
    try:
        mounts = [line.split() for line in (PROC / "self/mounts").read_text().splitlines()]
        groups = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return None
    mounted = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    own = [line.removeprefix("0::").strip("/") for line in groups if line.startswith("0::")]
    return mounted[0] / own[0] / f"{GROUP}{run}" if mounted and own else None
