"""PagerDuty, by its Events API v2."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, get, post, revealed
from sre_responder.notify.message import Acknowledged, Message, Unreachable
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
    api_token: str | Secret | None = Field(
        None, description="A read-only REST API key; with it who acknowledged is read back."
    )
    api_url: Url = "https://api.pagerduty.com"
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

    def acknowledged(self, subject: str) -> Acknowledged | None:
        if self.api_token is None:
            return None
        found = get(
            f"{revealed(self.api_url).rstrip('/')}/incidents",
            who=self.name,
            timeout_s=self.timeout_s,
            headers={
                "Authorization": f"Token token={revealed(self.api_token)}",
                "Accept": "application/vnd.pagerduty+json;version=2",
            },
            params={"incident_key": subject, "date_range": "all"},
        )
        try:
            people = [
                Acknowledged(shown(one["acknowledger"]["summary"], 120), datetime.fromisoformat(one["at"]).timestamp())
                for incident in found["incidents"]
                for one in incident.get("acknowledgements", [])
                if one["acknowledger"]["type"].startswith("user")  # our own acknowledgement is a service's
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(f"{self.name} answered what its API does not describe: {shown(repr(error))}") from error
        return min(people, key=lambda one: one.at, default=None)
