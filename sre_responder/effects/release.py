"""Release folders on a host, read from afar; the module `release_rollback` is what changes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from sre_responder.effects.effect import HostProbe


def _current(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The release that `current` points at, wherever root and releases/ lie; None where it points at none."""
    parts = PurePosixPath(str(answer.get("stat", {}).get("lnk_target", ""))).parts
    releases = [place for place, part in enumerate(parts[:-1]) if part == "releases"]
    return {"release": parts[releases[-1] + 1] if releases and ".." not in parts else None}


PROBE = HostProbe(
    module="ansible.builtin.stat",
    arguments=lambda arguments: {"path": os.path.join(str(arguments["root"]), "current")},
    understand=_current,
    needs=lambda arguments, before: os.path.join(str(arguments["root"]), "releases", str(before["release"])),
)
