"""A file of JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Message, Unreachable


class File(Channel):
    """A file of JSON lines."""

    kind: Literal["file"]
    path: Path

    def send(self, message: Message) -> str:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(message.model_dump_json() + "\n")
            return f"written to {self.path}"
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self.path} cannot be written: {getattr(error, 'strerror', None) or error}") from error
