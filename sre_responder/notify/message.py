"""One message to people, and what becomes of it on a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from sre_responder.model.names import shown


class Message(BaseModel):
    """One message to people."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: int
    at: str
    incident: str | None
    type: str
    summary: str
    data: dict[str, Any]
    audience: str

    @property
    def subject(self) -> str:
        """What every message about one matter shares: the incident, else the stop, else the message itself."""
        return self.incident or str(self.data.get("stop") or f"responder-{self.id}")

    @property
    def over(self) -> bool:
        """Whether the matter is over with this message: a pager resolves what it triggered."""
        return self.type in ("incident.closed", "stop.lifted", "notify.tested")

    @property
    def taken(self) -> bool:
        """Whether it says that a person has taken the matter on: a pager stops escalating."""
        return self.type in ("approval.granted", "approval.denied", "approval.break_glass")

    def text(self, limit: int) -> str:
        """One line for people, and the command that shows the rest."""
        more = f"\nresponder incident show {self.incident}" if self.incident else ""
        return f"[{self.subject}] {shown(self.summary, limit)}{more}"


@dataclass(frozen=True)
class Delivery:
    """What became of one message on one channel; `reason` is what the receiver said, or why it did not take it.

    `rejected`: it answered and will not take this message. `after_s`: how long the receiver asks to be left alone.
    """

    message: int
    channel: str
    delivered: bool
    reason: str = ""
    rejected: bool = False
    after_s: float = 0


@dataclass(frozen=True)
class Acknowledged:
    """Who took a matter on at a receiver, and when, in seconds since the epoch."""

    who: str
    at: float


class Rejected(Exception):
    """The receiver answered, and does not take this message."""


class Unreachable(Exception):
    """The receiver did not answer, or asks to be tried later, after so many seconds."""

    def __init__(self, reason: str, after_s: float = 0) -> None:
        super().__init__(reason)
        self.after_s = after_s
