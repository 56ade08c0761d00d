"""Where messages to people go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Channel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Terminal(_Channel):
    """The standard error of whoever delivers."""

    kind: Literal["terminal"]
    name: str = "terminal"


class File(_Channel):
    """A file of JSON lines."""

    kind: Literal["file"]
    path: Path
    name: str = "file"


class Webhook(_Channel):
    """An HTTP address that takes the message as JSON by POST; redirects are not followed."""

    kind: Literal["webhook"]
    url: str
    timeout_s: float = Field(5.0, gt=0)
    name: str = "webhook"


class Mail(_Channel):
    """An SMTP relay."""

    kind: Literal["mail"]
    host: str
    port: int = 25
    sender: str
    recipients: tuple[str, ...] = Field(min_length=1)
    timeout_s: float = Field(5.0, gt=0)
    name: str = "mail"


Channel = Annotated[Terminal | File | Webhook | Mail, Field(discriminator="kind")]
