"""Where an inventory is encrypted with ansible-vault: what to name when its password is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VAULT = "ANSIBLE_VAULT_PASSWORD_FILE"
_HEADER = b"$ANSIBLE_VAULT;"


def encrypted(inventory: Path | None) -> str:
    """FILE:LINE of the first encrypted text in an inventory; empty where there is none that can be read."""
    for file in _files(inventory):
        with suppress(OSError), open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip().startswith(_HEADER):
                    return f"{file}:{number}"
    return ""


def _files(inventory: Path | None) -> Iterator[Path]:
    if inventory is None:
        return
    yield from sorted(path for path in inventory.rglob("*") if path.is_file()) if inventory.is_dir() else [inventory]
