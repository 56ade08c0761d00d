"""Slack, and whatever takes Slack's incoming webhooks: Mattermost, Rocket.Chat, Zulip."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, post, revealed
from sre_responder.notify.message import Message, Rejected

TEXT_LIMIT = 3000


class Slack(Channel):
    """An incoming webhook of Slack, or of what accepts the same."""

    kind: Literal["slack"]
    url: Url
    timeout_s: float = Field(5.0, gt=0)

    def send(self, message: Message) -> str:
        # https://docs.slack.dev/messaging/formatting-message-text: these three letters are Slack's own.
        text = message.text(TEXT_LIMIT).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        said = post(revealed(self.url), {"text": text}, who=self.name, timeout_s=self.timeout_s)
        if '"ok":false' in said.replace(" ", ""):  # Slack's other methods answer so, also with 200
            raise Rejected(f"{self.name} answered 200 {shown(said, 200)}")
        return said
