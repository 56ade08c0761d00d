"""Where the passwords of ansible-vault are kept, and what of an inventory is encrypted with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sre_responder.errors import InputError
from sre_responder.system.files import opened

VAULT, IDENTITIES = "ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST"
_HEADER = b"$ANSIBLE_VAULT;"


def vault_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Where the caller keeps vault passwords, with whole paths: a run stands in a folder of its own."""
    found = {}
    if file := environ.get(VAULT):
        found[VAULT] = _whole(file)
    if listed := environ.get(IDENTITIES):
        found[IDENTITIES] = ",".join(_identity(part.strip()) for part in listed.split(",") if part.strip())
    return found


def _identity(text: str) -> str:
    label, at, source = text.rpartition("@")
    if source.startswith("prompt"):
        raise InputError(
            f"{IDENTITIES} asks for a password at a terminal, which a run does not have.",
            cure="Set ansible.vault_password_file in policy.yml to a file, or to a script that prints the password.",
        )
    return f"{label}{at}{_whole(source)}"


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def encrypted(inventory: Path | None) -> str:
    """FILE:LINE of the first encrypted text in an inventory; empty where there is none that can be read."""
    for file in _files(inventory):
        with suppress(OSError), opened(file) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip().startswith(_HEADER):
                    return f"{file}:{number}"
    return ""


def _files(inventory: Path | None) -> Iterator[Path]:
    if inventory is None:
        return
    yield from sorted(path for path in inventory.rglob("*") if path.is_file()) if inventory.is_dir() else [inventory]
