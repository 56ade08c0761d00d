"""A secret by reference: where it is kept, so that files in Git, plans and the record never hold it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sre_responder.system.files import opened

_LIMIT_BYTES = 1 << 16
_SECONDS = 10
_VAULT_PASSWORD_FILE = "ANSIBLE_VAULT_PASSWORD_FILE"


class Secret(BaseModel):
    """`{env: NAME}`, `{file: PATH}`, `{vault: FILE, key: KEY}` or `{command: [PROGRAM, ...]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    env: str | None = Field(None, description="The environment variable that holds it.")
    file: Path | None = Field(None, description="The file that holds it; blanks and newlines around it do not count.")
    vault: Path | None = Field(None, description="The file, encrypted by ansible-vault, that holds it under `key`.")
    key: str | None = Field(None, description="The key of a vault's mapping.")
    password_file: Path | None = Field(
        None, description=f"What opens the vault, a file or a script that prints it; default: {_VAULT_PASSWORD_FILE}."
    )
    command: tuple[str, ...] | None = Field(
        None, min_length=1, description=f"The program that prints it within {_SECONDS} s, and its arguments; no shell."
    )

    @model_validator(mode="after")
    def _one(self) -> Secret:
        ways = (self.env, self.file, self.vault, self.command)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("name one of env, file, vault and command")
        if (self.vault is None) != (self.key is None):
            raise ValueError("vault and key stand together")
        if self.password_file is not None and self.vault is None:
            raise ValueError("password_file is of a vault")
        return self

    def reveal(self) -> str:
        """What it holds. ValueError or OSError, which name the reference, if that is nothing."""
        value, place = self._held()
        if not value.strip():
            raise ValueError(f"{place} holds no secret")
        return value.strip()

    def _held(self) -> tuple[str, str]:
        if self.env is not None:
            return os.environ.get(self.env, ""), f"the environment variable {self.env}"
        if self.command is not None:
            return _printed(list(self.command)), self.command[0]
        if self.file is not None:
            with opened(self.file.expanduser()) as file:
                return file.read(_LIMIT_BYTES).decode(), str(self.file)
        return self._opened(), f"{self.key} in {self.vault}"

    def _opened(self) -> str:
        """What stands under the key of the vault."""
        assert self.vault is not None
        chosen = self.password_file or os.environ.get(_VAULT_PASSWORD_FILE)
        if not chosen:
            raise ValueError(f"{self.vault} needs password_file, or {_VAULT_PASSWORD_FILE} in the environment")
        beside = Path(sys.executable).with_name("ansible-vault")
        program = str(beside) if beside.exists() else shutil.which("ansible-vault") or "ansible-vault"
        password = str(Path(chosen).expanduser())
        text = _printed([program, "view", "--vault-password-file", password, str(self.vault.expanduser())])
        try:
            held = yaml.safe_load(text)
        except yaml.YAMLError:
            held = None
        if not isinstance(held, dict):
            raise ValueError(f"{self.vault} holds no mapping")
        value = held.get(self.key)
        if not isinstance(value, str | int | None):
            raise ValueError(f"{self.key} in {self.vault} is no single value")
        return "" if value is None else str(value)


def _printed(words: list[str]) -> str:
    """What a program prints. ValueError where it fails, which names the program but not what it said: that may hold the secret."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{words[0]} did not end within {_SECONDS} s") from error
    if done.returncode != 0:
        raise ValueError(f"{words[0]} exits {done.returncode}")
    if len(done.stdout) > _LIMIT_BYTES:
        raise ValueError(f"{words[0]} prints more than {_LIMIT_BYTES} bytes")
    return done.stdout.decode()
