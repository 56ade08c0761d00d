"""Releases of the shop's checkout, deployed as many tools do: folder, link, one line in the history."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

FIRST, GOOD = "1.3.0", "1.4.0"
_FIELD = {"good": "items", "bad": "amount"}  # the bad one asks for a field that inventory never had
_CODE = '''"""Checkout {version}: what a customer sees."""


def respond(path, stock):
    return {{"path": path, "in_stock": stock["{field}"]}}
'''


def deploy(root: Path, version: str, kind: Literal["good", "bad"] = "good") -> None:
    """Put a release into `root` and make it the current one, in one step."""
    folder = root / "releases" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkout.py").write_text(_CODE.format(version=version, field=_FIELD[kind]), encoding="utf-8")
    draft = root / f".current.{os.getpid()}"
    draft.symlink_to(Path("releases") / version)
    draft.replace(root / "current")
    with (root / "deployments.log").open("a", encoding="utf-8") as history:
        history.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {version}\n")


def current(root: Path) -> str:
    """The release that customers get."""
    return (root / "current").readlink().name
