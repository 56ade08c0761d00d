"""Microsoft Teams, by the webhook of a workflow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, post, revealed
from sre_responder.notify.message import Message

TEXT_LIMIT = 3000


class Teams(Channel):
    """The webhook of a Teams workflow ("Post to a channel when a webhook request is received")."""

    kind: Literal["msteams"]
    url: Url
    timeout_s: float = Field(5.0, gt=0)

    def send(self, message: Message) -> str:
        lines = message.text(TEXT_LIMIT).split("\n")
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": line, "wrap": True} for line in lines],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        body = {"type": "message", "attachments": [attachment]}
        return post(revealed(self.url), body, who=self.name, timeout_s=self.timeout_s)
