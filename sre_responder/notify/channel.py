"""What every channel is: a section of the policy with a name, and one way to send a message."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from sre_responder.notify.message import Message


class Channel(BaseModel):
    """A channel adds `kind: Literal[...]`, a default `name`, and its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pages: ClassVar[bool] = False
    """Whether it keeps one open alert a subject: one that is over must not be opened again by a late retry."""
    kind: str
    name: str = ""

    def model_post_init(self, _context: object) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.kind)

    def send(self, message: Message) -> None:
        """Send one message; Rejected if the receiver does not take it, Unreachable if it does not answer."""
        raise NotImplementedError
