"""What every channel is: a section of the policy with a name, and one way to send a message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from sre_responder.notify.message import Acknowledged, Message, Unreachable
from sre_responder.system.secret import Secret


class Channel(BaseModel, ABC):
    """A channel adds `kind: Literal[...]`, a default `name`, and its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pages: ClassVar[bool] = False
    """Whether it keeps one open alert a subject: one that is over must not be opened again by a late retry."""
    kind: str
    name: str = ""

    def model_post_init(self, _context: object) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.kind)

    @property
    def secrets(self) -> list[Secret]:
        """Where what it needs and what no file holds is kept."""
        values = [getattr(self, field) for field in type(self).model_fields]
        nested = [one for value in values if isinstance(value, Mapping) for one in value.values()]
        return [value for value in [*values, *nested] if isinstance(value, Secret)]

    @abstractmethod
    def send(self, message: Message) -> str:
        """Send one message; return what the receiver said. Rejected if it does not take it, Unreachable if it does not answer."""

    def acknowledged(self, subject: str) -> Acknowledged | None:
        """The first person who took the matter on there; None if nobody did, or if this channel cannot say. Errors as of `send`."""
        return None


class Absent(Channel):
    """A channel of another distribution that cannot be loaded; its messages wait until it can."""

    reason: str

    def send(self, message: Message) -> str:
        raise Unreachable(self.reason)
