# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases were deployed, in order, as deploy tools write it down. Standard library only."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable

from ansible_collections.sre.responder.plugins.module_utils._on_host import HostError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
LOGS = ("deployments.log", "revisions.log", ".dep/releases_log", ".dep/releases")
"""Where a history is looked for in the root, in this order: ours, Capistrano, Deployer 7, Deployer 6 and older."""
LEFT_AS_BAD = ("BAD_RELEASE", "DIRTY_RELEASE")
"""Files by which Deployer marks a release that it rolled back from, or that was never finished."""
LIMIT = 1 << 20
"""Bytes of a log that are read, from its end."""

_CAPISTRANO = re.compile(r"\b(?:deployed as|rolled back to) release (\S+)")
_DEPLOYER_6 = re.compile(r"\d{14},(\S+)")


class ReleaseError(HostError):
    """What is wrong with the folders or the wish; nothing was changed."""


def deployed(log: str) -> list[str]:
    """The releases of a log in the order of their deployment, a rollback of the deploy tool among them.

    One of four formats, told by the first line: Deployer's JSON and CSV, Capistrano's sentences, and `TIME RELEASE`.
    """
    rows = [(number, line.strip()) for number, line in enumerate(_lines(log), 1) if line.strip()]
    if not rows:
        return []
    wanted, read = _format(rows[0][1])
    names = []
    for number, row in rows:
        name = read(row)
        if name is None or not NAME.fullmatch(name):
            raise ReleaseError(f"{log}:{number} is not {wanted}.")
        names.append(name)
    return names


def without_rolled_back(names: list[str]) -> list[str]:
    """The deployments that were not left again: one that returns to an earlier release leaves all that came in between."""
    kept: list[str] = []
    for name in names:
        kept = kept[: kept.index(name)] if name in kept else kept
        kept.append(name)
    return kept


def folders(releases: str) -> list[str]:
    """The releases by their folders alone, oldest first: by number, by a name that is a time, else by the folder's own time."""
    with os.scandir(releases) as found:
        kept = [
            (e.name, e.stat().st_mtime) for e in found if e.is_dir(follow_symlinks=False) and NAME.fullmatch(e.name)
        ]
    names = [name for name, dummy in kept]
    if all(name.isdigit() for name in names):
        return sorted(names, key=int)
    if all(re.fullmatch(r"\d{8}[\dTZ._-]*", name) for name in names) and len({len(name) for name in names}) == 1:
        return sorted(names)
    return [name for name, dummy in sorted(kept, key=lambda one: (one[1], one[0]))]


def _lines(log: str) -> list[str]:
    """The lines of a log's last megabyte. Neither a pipe nor a device is waited for."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ReleaseError(f"the deployment history {log} cannot be read: it is no ordinary file.")
            start = max(0, os.fstat(descriptor).st_size - LIMIT)
            file.seek(start)
            text = file.read(LIMIT)
        if start:
            text = text.partition(b"\n")[2]
        return text.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"the deployment history {log} cannot be read: {error}.") from error


def _format(line: str) -> tuple[str, Callable[[str], str | None]]:
    """What a line of this log should look like, in words, and what reads the release from it."""
    if line.startswith("{"):
        return "a line of Deployer's releases_log with its release_name", _json
    if _CAPISTRANO.search(line):
        return "'... deployed as release NAME ...' or '... rolled back to release NAME'", _capistrano
    if _DEPLOYER_6.fullmatch(line):
        return "'TIME,RELEASE'", _deployer_6
    return "'TIME RELEASE'", _second


def _capistrano(line: str) -> str | None:
    found = _CAPISTRANO.search(line)
    return found.group(1) if found else None


def _deployer_6(line: str) -> str | None:
    found = _DEPLOYER_6.fullmatch(line)
    return found.group(1) if found else None


def _second(line: str) -> str | None:
    words = line.split()
    return words[1] if len(words) > 1 else None


def _json(line: str) -> str | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    name = row.get("release_name") if isinstance(row, dict) else None
    if isinstance(name, bool):  # which is an int too
        return None
    return name if isinstance(name, str) else str(name) if isinstance(name, int) else None
