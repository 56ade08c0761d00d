"""Release folders on a host, read from afar; the module `release_rollback` is what changes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sre_responder.effects.effect import HostProbe


def _current(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The release that `current` points at; None where it points at none."""
    root, target = str(arguments["root"]), str(answer.get("stat", {}).get("lnk_target", ""))
    folder, name = os.path.split(os.path.normpath(os.path.join(root, target)))
    return {"release": name if target and folder == os.path.join(os.path.normpath(root), "releases") else None}


PROBE = HostProbe(
    "ansible.builtin.stat", lambda arguments: {"path": os.path.join(str(arguments["root"]), "current")}, _current
)
