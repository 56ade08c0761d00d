"""Alertmanager's webhook: every field is data, never a template, and cut at a stated length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sre_responder.errors import InputError
from sre_responder.model.names import shown

BYTES_LIMIT = 8 << 20
"""A payload that is larger is refused: some ten thousand alerts."""
TITLE_LIMIT = 200
"""Characters of a title; the rest is cut, and said so."""
_SHOWN_LABELS = 8


class Alert(BaseModel):
    """One alert of a webhook; what Responder does not use is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime | None = Field(None, alias="startsAt")

    @field_validator("annotations", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("starts_at")
    @classmethod
    def _known(cls, value: datetime | None) -> datetime | None:
        """Go's zero time means unknown; a time without a zone is UTC."""
        if value is None or value.year <= 1:
            return None
        return value if value.tzinfo else value.replace(tzinfo=UTC)

    @property
    def title(self) -> str:
        text = self.annotations.get("summary") or self.labels.get("alertname") or "alert without a name"
        return shown(text, TITLE_LIMIT)

    def as_jmespath(self) -> dict[str, Any]:
        """The alert as an expression of a runbook or the policy sees it."""
        return {"status": self.status, "labels": self.labels, "annotations": self.annotations}


@dataclass(frozen=True)
class Problem:
    """One alert that could not be used: its place in the payload from 1, its name and labels, and why."""

    position: int
    alert: str
    reason: str
    cure: str

    def __str__(self) -> str:
        return f"Alert {self.position} ({self.alert}): {self.reason} {self.cure}".strip()


@dataclass(frozen=True)
class Webhook:
    """Version 4 of Alertmanager's webhook: its alerts by their place, from 1, and those that are not alerts."""

    alerts: Mapping[int, Alert]
    problems: tuple[Problem, ...] = ()
    truncated: int = 0
    """How many alerts of the group Alertmanager left out."""


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    version: Literal["4"] = "4"
    alerts: tuple[Any, ...] = Field(min_length=1)
    truncated: int = Field(0, ge=0, alias="truncatedAlerts")


def parse(text: str) -> Webhook:
    """The alerts of a payload. InputError names what is wrong with the whole; one wrong alert does not stop the others."""
    if len(text.encode("utf-8", "replace")) > BYTES_LIMIT:
        raise InputError(
            f"the alert is larger than {BYTES_LIMIT >> 20} MiB.",
            cure="Set max_alerts in Alertmanager's webhook_configs, or shorten annotations.",
        )
    try:
        envelope = _Envelope.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(
            f"the alert is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            cure="Send Alertmanager's webhook.",
        ) from error
    except ValidationError as error:
        raise InputError(
            f"the alert is not an Alertmanager webhook: {_places(error)}.", cure="Send version 4."
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"the alert is not JSON: {shown(error, 100)}.", cure="Send Alertmanager's webhook.") from error
    except RecursionError as error:
        raise InputError("the alert is nested too deeply.", cure="Send Alertmanager's webhook.") from error
    alerts: dict[int, Alert] = {}
    problems = []
    for position, given in enumerate(envelope.alerts, 1):
        try:
            alerts[position] = Alert.model_validate(given)
        except ValidationError as error:
            cure = "Send alerts as Alertmanager does."
            problems.append(Problem(position, named(given), f"not an alert: {_places(error)}.", cure))
    return Webhook(alerts, tuple(problems), envelope.truncated)


def named(given: Any) -> str:
    """An alert's name and labels as a person may see them, whatever was sent."""
    labels = given.get("labels") if isinstance(given, dict) else None
    if not isinstance(labels, dict) or not labels:
        return "no labels"
    rest = {key: value for key, value in labels.items() if key != "alertname"}
    words = [f"{shown(key, 40)}={shown(value, 60)}" for key, value in [*rest.items()][:_SHOWN_LABELS]]
    more = f", and {len(rest) - _SHOWN_LABELS} more labels" if len(rest) > _SHOWN_LABELS else ""
    return f"{shown(labels.get('alertname', 'no alertname'), 60)} {', '.join(words)}{more}".strip()


def _places(error: ValidationError) -> str:
    rows = [f"{'.'.join(map(str, place['loc'])) or 'payload'}: {place['msg']}" for place in error.errors()[:5]]
    return shown("; ".join(rows), 500)
