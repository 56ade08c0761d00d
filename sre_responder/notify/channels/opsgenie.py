"""Opsgenie, and whatever takes its Alert API."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.http import Url, get, post, revealed
from sre_responder.notify.message import Acknowledged, Message, Unreachable
from sre_responder.system.secret import Secret

MESSAGE_LIMIT = 130
"""Opsgenie refuses a message of more than 130 characters; the rest is in the description."""


class Opsgenie(Channel):
    """A team of Opsgenie; one incident of ours is one alert of theirs, acknowledged and closed under its alias."""

    pages: ClassVar[bool] = True
    kind: Literal["opsgenie"]
    api_key: str | Secret
    priority: Literal["P1", "P2", "P3", "P4", "P5"] = "P1"
    url: Url = "https://api.opsgenie.com"
    timeout_s: float = Field(5.0, gt=0)

    def send(self, message: Message) -> str:
        alerts = f"{revealed(self.url).rstrip('/')}/v2/alerts"
        action = "close" if message.over else "acknowledge" if message.taken else None
        body: dict[str, Any] = {"source": "responder", "note": message.text(1000)}
        if action:
            alerts = f"{alerts}/{quote(message.subject, safe='')}/{action}?identifierType=alias"
        else:
            body |= {
                "message": shown(f"[{message.subject}] {message.summary}")[:MESSAGE_LIMIT],
                "alias": message.subject,
                "description": message.text(10_000),
                "priority": self.priority,
                "details": {"type": message.type, "audience": message.audience},
            }
        headers = {"Authorization": f"GenieKey {revealed(self.api_key)}"}
        return post(alerts, body, who=self.name, timeout_s=self.timeout_s, headers=headers)

    def acknowledged(self, subject: str) -> Acknowledged | None:
        found = get(
            f"{revealed(self.url).rstrip('/')}/v2/alerts/{quote(subject, safe='')}",
            who=self.name,
            timeout_s=self.timeout_s,
            headers={"Authorization": f"GenieKey {revealed(self.api_key)}"},
            params={"identifierType": "alias"},
        )
        try:
            alert, report = found["data"], found["data"].get("report") or {}
            if not alert["acknowledged"] or not report.get("acknowledgedBy"):
                return None
            at = datetime.fromisoformat(alert["createdAt"]).timestamp() + report["ackTime"] / 1000
            return Acknowledged(shown(report["acknowledgedBy"], 120), at)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(f"{self.name} answered what its API does not describe: {shown(repr(error))}") from error
