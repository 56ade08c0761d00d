"""PagerDuty's webhook, version 3: an incident that is triggered fires, one that is resolved is over, all else says nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.intake.alert import Webhook, webhook
from sre_responder.model.names import shown

_STATUS = {"incident.triggered": "firing", "incident.reopened": "firing", "incident.resolved": "resolved"}


def claims(payload: Any, headers: Mapping[str, str]) -> bool:
    event = payload.get("event") if isinstance(payload, dict) else None
    return isinstance(event, dict) and "event_type" in event


def read(payload: Any, headers: Mapping[str, str]) -> Webhook:
    event = payload["event"]
    status = _STATUS.get(str(event["event_type"]))
    if status is None:
        return Webhook({}, source="pagerduty", ignored=(f"event {shown(event['event_type'], 60)}",))
    return webhook("pagerduty", [_alert(event, status)], cure="Subscribe with a webhook of version 3.")


def _alert(event: Mapping[str, Any], status: str) -> dict[str, Any]:
    """The incident as an alert: the service, urgency and priority of PagerDuty are labels, and so is the incident's id."""
    data = event.get("data")
    incident = data if isinstance(data, dict) else {}
    priority, urgency = _summary(incident, "priority"), str(incident.get("urgency") or "")
    labels = {
        "alertname": "PagerDuty", "pagerduty_incident": str(incident.get("id") or ""), "service": _summary(incident, "service"),
        "severity": priority or urgency, "urgency": urgency, "priority": priority,
    }  # fmt: skip
    begin = event.get("occurred_at") if event["event_type"] == "incident.reopened" else incident.get("created_at")
    return {
        "status": status,
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": str(incident.get("title") or "")},
        "startsAt": begin,
        "endsAt": event.get("occurred_at") if status == "resolved" else None,
    }


def _summary(incident: Mapping[str, Any], name: str) -> str:
    """What PagerDuty calls one that it refers to."""
    reference = incident.get(name)
    return str(reference.get("summary") or "") if isinstance(reference, dict) else ""
