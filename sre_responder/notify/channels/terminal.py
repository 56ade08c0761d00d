"""The standard error of whoever delivers."""

from __future__ import annotations

import sys
from typing import Literal

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Message, Unreachable


class Terminal(Channel):
    """The standard error of whoever delivers."""

    kind: Literal["terminal"]

    def send(self, message: Message) -> str:
        who = message.audience.replace("_", " ")
        try:
            print(f"to {who}: {message.incident or ''} {shown(message.summary, 400)}", file=sys.stderr, flush=True)
            return "written to standard error"
        except (OSError, ValueError) as error:
            raise Unreachable(f"standard error cannot be written: {error}") from error
