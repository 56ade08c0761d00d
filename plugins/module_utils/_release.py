# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders on a host: which release is current, which came before, and the atomic switch. Standard library only."""

from __future__ import annotations

import os
import re
import socket

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)


class ReleaseError(Exception):
    """What is wrong with the folders or the wish; nothing was changed."""


class Moved(ReleaseError):
    """Somebody else switched meanwhile; nothing was changed."""


def deployed(history: str) -> list[str]:
    """The releases of the deployment history, oldest first."""
    try:
        with open(history, encoding="utf-8") as file:
            rows = [(number, line.split()) for number, line in enumerate(file, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"the deployment history {history} cannot be read: {error}.") from error
    for number, row in rows:
        if len(row) < 2 or not _NAME.fullmatch(row[1]):
            raise ReleaseError(f"{history}:{number} is not 'TIME RELEASE'.")
    return [row[1] for _, row in rows]


def current(root: str) -> str:
    """The release that `current` points at."""
    link = os.path.join(root, "current")
    if not os.path.islink(link):
        raise ReleaseError(f"{link} is not a link; a folder or file there is never replaced.")
    target = os.path.normpath(os.path.join(root, os.readlink(link)))
    if os.path.dirname(target) != os.path.join(os.path.normpath(root), "releases"):
        raise ReleaseError(f"{link} points at {target}, outside {root}/releases.")
    return os.path.basename(target)


def plan(root: str, to: str, history: str | None = None) -> dict:
    """Before, after and undo of a return to release `to`; ReleaseError where it is not in the history or does not exist."""
    log = history or os.path.join(root, "deployments.log")
    now, past = current(root), deployed(log)
    known = sorted({name for name in past if os.path.isdir(os.path.join(root, "releases", name))})
    if to == "previous":
        before = past[: len(past) - past[::-1].index(now) - 1] if now in past else past
        earlier = [name for name in before if name != now and name in known]
        if not earlier:
            raise ReleaseError(
                f"no release stands before {now} in {log}. Releases there: {', '.join(known) or 'none'}."
            )
        to = earlier[-1]
    if not _NAME.fullmatch(to) or to not in known:
        raise ReleaseError(
            f"release '{to[:80]}' is not in {log} or has no folder. Releases there: {', '.join(known) or 'none'}."
        )
    link = os.path.join(root, "current")
    undo = [
        {
            "name": f"Point current back at {now}",
            "ansible.builtin.file": {"src": f"releases/{now}", "dest": link, "state": "link", "force": True},
        }
    ]
    return {
        # The machine's own name and the folder behind all links: what is locked and approved has one name.
        "node": socket.gethostname(),
        "target": f"release:{os.path.realpath(root)}",
        "before": {"release": now},
        "after": {"release": to},
        "undo": undo if to != now else [],
        "undo_note": f"Points current back at release {now}.",
        "diff": {"before": f"current -> releases/{now}\n", "after": f"current -> releases/{to}\n"},
        "evidence": {"deployments": past[-5:]},
    }


def switch(root: str, to: str, before: str) -> dict:
    """Point `current` at a release: a new link takes the old one's place in one step, durably.

    ReleaseError where `current` is no longer `before`: it is looked at once more in the last instant.
    """
    link, draft = os.path.join(root, "current"), os.path.join(root, f".current.{os.getpid()}")
    try:
        os.symlink(os.path.join("releases", to), draft)
        if (now := current(root)) != before:
            raise Moved(f"the current release is {now}, not as the plan saw it.")
        os.replace(draft, link)
        folder = os.open(root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ReleaseError(f"{link} cannot be switched to {to}: {error}.") from error
    finally:
        if os.path.islink(draft):
            os.unlink(draft)
    return {"release": current(root)}
