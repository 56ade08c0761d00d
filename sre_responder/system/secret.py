"""A secret by reference: where it is kept, so that files in Git, plans and the record never hold it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sre_responder.system.files import opened

_LIMIT_BYTES = 1 << 16


class Secret(BaseModel):
    """`{env: NAME}` or `{file: PATH}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    env: str | None = Field(None, description="The environment variable that holds it.")
    file: Path | None = Field(None, description="The file that holds it; blanks and newlines around it do not count.")

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("name one of env and file")
        return self

    def reveal(self) -> str:
        """What it holds. ValueError or OSError, which name the reference, if that is nothing."""
        if self.env is not None:
            value, place = os.environ.get(self.env, ""), f"the environment variable {self.env}"
        else:
            assert self.file is not None
            place = str(self.file)
            with opened(self.file.expanduser()) as file:
                value = file.read(_LIMIT_BYTES).decode()
        if not value.strip():
            raise ValueError(f"{place} holds no secret")
        return value.strip()
