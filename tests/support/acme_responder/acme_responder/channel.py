"""ACME's board: a file that a screen in the office shows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Message, Unreachable


class Board(Channel):
    """A line on the board."""

    kind: Literal["acme_board"]
    path: Path

    def send(self, message: Message) -> str:
        try:
            with self.path.open("a", encoding="utf-8") as board:
                board.write(f"{message.summary}\n")
        except OSError as error:
            raise Unreachable(f"{self.path} cannot be written: {error.strerror}") from error
        return "on the board"
