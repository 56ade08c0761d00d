"""CloudEvents 1.0 over HTTP (structured, batched or binary) whose data are alerts: one, or an Alertmanager webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.intake.alert import Webhook, webhook

_CURE = "Give the event JSON data with status, labels, annotations and startsAt, or with a list of such alerts."


def claims(payload: Any, headers: Mapping[str, str]) -> bool:
    if headers.get("ce-specversion", "").startswith("1."):
        return True
    events = payload if isinstance(payload, list) and payload else [payload]
    return all(isinstance(one, dict) and str(one.get("specversion", "")).startswith("1.") for one in events)


def read(payload: Any, headers: Mapping[str, str]) -> Webhook:
    if headers.get("ce-specversion"):
        events = [{"type": headers.get("ce-type"), "time": headers.get("ce-time"), "data": payload}]
    else:
        events = payload if isinstance(payload, list) else [payload]
    return webhook("cloudevents", [alert for event in events for alert in _alerts(event)], cure=_CURE)


def _alerts(event: Mapping[str, Any]) -> list[Any]:
    """The alerts of one event; one that says no time of its own began at the event's, and its name is the event's type."""
    data = event.get("data")
    given = data["alerts"] if isinstance(data, dict) and isinstance(data.get("alerts"), list) else [data]
    return [_completed(alert, event) for alert in given] or [data]


def _completed(alert: Any, event: Mapping[str, Any]) -> Any:
    if not isinstance(alert, dict) or not isinstance(alert.get("labels"), dict):
        return alert
    times = {"endsAt" if alert.get("status") == "resolved" else "startsAt": event.get("time")}
    return {**times, **alert, "labels": {"alertname": str(event.get("type")), **alert["labels"]}}
