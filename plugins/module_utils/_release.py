# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders on a host: which release is current, which came before, and the atomic switch. Standard library only."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import NamedTuple

from ansible_collections.sre.responder.plugins.module_utils._on_host import Moved
from ansible_collections.sre.responder.plugins.module_utils._release_history import (
    LEFT_AS_BAD,
    LOGS,
    NAME,
    ReleaseError,
    deployed,
    folders,
    without_rolled_back,
)
from ansible_collections.sre.responder.plugins.module_utils._restart import looked_at
from ansible_collections.sre.responder.plugins.module_utils._restart import undo as undo_of_restart


class Link(NamedTuple):
    """Where `current` points: a release, and perhaps a folder inside it; `text` is the link as it is written."""

    release: str
    inside: str
    text: str

    def to(self, release: str) -> str:
        """The same link to another release: absolute if this one is, and into the same folder of it."""
        above, found, dummy = self.text.rpartition(f"/releases/{self.release}")
        start = f"{above}/releases" if found and os.path.isabs(self.text) else "releases"
        return os.path.join(start, release, self.inside).rstrip("/")


def link(root: str) -> Link:
    """What `current` says. Root and releases/ may stand behind links; a release may not, nor may it lie elsewhere."""
    path = os.path.join(root, "current")
    if not os.path.islink(path):
        raise ReleaseError(f"{path} is not a link; a folder or file there is never replaced.")
    text = os.readlink(path)
    home, target = os.path.realpath(os.path.join(root, "releases")), os.path.realpath(path)
    if not target.startswith(home + "/"):
        raise ReleaseError(f"{path} points at {target}, outside {root}/releases.")
    release, dummy, inside = target[len(home) + 1 :].partition("/")
    return Link(release, inside, text)


def current(root: str) -> str:
    """The release that `current` points at."""
    return link(root).release


def history(root: str, named: str | None = None) -> tuple[str, list[str]]:
    """Where the order of deployments is known from, and the deployments, oldest first."""
    for log in [named] if named else [os.path.join(root, name) for name in LOGS]:
        if named or os.path.lexists(log):
            return log, deployed(log)
    place = os.path.join(root, "releases")
    try:
        return place, folders(place)
    except OSError as error:
        raise ReleaseError(
            f"{root} has no history ({', '.join(LOGS)}), and {place} cannot be read: {error}."
        ) from error


def plan(root: str, to: str, named: str | None = None, restart: dict | None = None) -> dict:
    """Before, after and undo of a return to release `to` and of the restart of what runs it.

    ReleaseError where the release is not in the history or does not exist, or where the restart cannot be done.
    """
    was, (log, past) = link(root), history(root, named)
    now = was.release
    known = sorted({name for name in past if _whole(root, name)})
    if to == "previous":
        before = past[: len(past) - past[::-1].index(now)] if now in past else [*past, now]
        earlier = [name for name in without_rolled_back(before)[:-1] if name in known and not _bad(root, name)]
        if not earlier:
            raise ReleaseError(
                f"no release stands before {now} in {log}. Releases there: {', '.join(known) or 'none'}."
            )
        to = earlier[-1]
    if not NAME.fullmatch(to) or to not in known:
        raise ReleaseError(
            f"release '{to[:80]}' is not in {log} or has no folder. Releases there: {', '.join(known) or 'none'}."
        )
    undo = [
        {
            "name": f"Point current back at {now}",
            "ansible.builtin.file": {
                "src": was.text, "dest": os.path.join(root, "current"), "state": "link", "force": True, "follow": False,
            },
        }
    ]  # fmt: skip
    restarts = looked_at(restart) if restart else None
    return {
        # The machine's own name and the folder behind all links: what is locked and approved has one name.
        "node": socket.gethostname(),
        "target": f"release:{os.path.realpath(root)}",
        "before": {"release": now},
        "after": {"release": to},
        "undo": [*undo, *(undo_of_restart(restart) if restart else [])] if to != now else [],
        "undo_note": f"Points current back at release {now}{' and restarts what runs it' if restart else ''}.",
        "diff": {"before": f"current -> {was.text}\n", "after": f"current -> {was.to(to)}\n"},
        "evidence": {"history": log, "deployments": past[-5:], **({"restarts": restarts} if restart else {})},
    }


def same_folder(root: str, others: list) -> list:
    """Which of these paths lead to this very folder, behind links and mounts."""
    found = []
    for other in others:
        with suppress(OSError):
            if os.path.samefile(root, os.path.expanduser(os.path.expandvars(other))):
                found.append(other)
    return found


def switch(root: str, to: str, before: str) -> dict:
    """Point `current` at a release: a new link takes the old one's place in one step, durably.

    The folder is opened once, and all is done in it: a link to it that is swapped meanwhile changes nothing. Moved where
    `current` is no longer `before`: it is looked at once more in the last instant.
    """
    draft = f".current.{os.getpid()}"
    path = os.path.join(root, "current")
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            here = f"/proc/self/fd/{folder}" if os.path.isdir(f"/proc/self/fd/{folder}") else root
            os.symlink(link(here).to(to), draft, dir_fd=folder)
            try:
                if (now := current(here)) != before:
                    raise Moved(f"the current release is {now}, not as the plan saw it.")
                os.replace(draft, "current", src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            finally:
                with suppress(FileNotFoundError):  # it took the place of the other
                    os.unlink(draft, dir_fd=folder)
            return {"release": current(here)}
        finally:
            os.close(folder)
    except OSError as error:
        raise ReleaseError(f"{path} cannot be switched to {to}: {error}.") from error


def _whole(root: str, name: str) -> bool:
    """Whether a release has a folder of its own; a link to elsewhere is none."""
    try:
        return stat.S_ISDIR(os.lstat(os.path.join(root, "releases", name)).st_mode)
    except OSError:
        return False


def _bad(root: str, name: str) -> bool:
    return any(os.path.lexists(os.path.join(root, "releases", name, mark)) for mark in LEFT_AS_BAD)
