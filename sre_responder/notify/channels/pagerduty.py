"""PagerDuty, by its Events API v2."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, post, revealed
from sre_responder.notify.message import Message
from sre_responder.system.secret import Secret

SUMMARY_LIMIT = 1024
"""PagerDuty refuses a longer one."""


class PagerDuty(Channel):
    """A service of PagerDuty; one incident of ours is one of theirs, triggered, acknowledged and resolved."""

    pages: ClassVar[bool] = True
    kind: Literal["pagerduty"]
    routing_key: str | Secret = Field(description="The integration key of the service (Events API v2).")
    severity: Literal["critical", "error", "warning", "info"] = "critical"
    url: Url = "https://events.pagerduty.com/v2/enqueue"
    timeout_s: float = Field(5.0, gt=0)

    def send(self, message: Message) -> str:
        action = "resolve" if message.over else "acknowledge" if message.taken else "trigger"
        event: dict[str, Any] = {"event_action": action, "dedup_key": message.subject}
        event["routing_key"] = revealed(self.routing_key)
        if action == "trigger":
            event["payload"] = {
                "summary": shown(f"[{message.subject}] {message.summary}", SUMMARY_LIMIT)[:SUMMARY_LIMIT],
                "source": "responder",
                "severity": self.severity,
                "timestamp": message.at,
                "custom_details": {"type": message.type, "audience": message.audience, "incident": message.incident},
            }
        return post(revealed(self.url), event, who=self.name, timeout_s=self.timeout_s)
