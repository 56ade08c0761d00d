"""An alert and a payload of alerts, whoever sent it: every field is data, never a template, and cut at a stated length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sre_responder.model.names import shown
from sre_responder.model.plan import canonical

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
    ends_at: datetime | None = Field(None, alias="endsAt")

    @field_validator("annotations", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("starts_at", "ends_at")
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

    @property
    def fingerprint(self) -> str:
        """What two reports of one alert share: its labels, whoever reports it and in which order."""
        return hashlib.sha256(canonical(self.labels).encode()).hexdigest()

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
    """A payload: its alerts by their place, from 1, and those that are not alerts."""

    alerts: Mapping[int, Alert]
    problems: tuple[Problem, ...] = ()
    truncated: int = 0
    """How many alerts of the group the sender left out."""
    source: str = "alertmanager"
    ignored: tuple[str, ...] = ()
    """What it holds that says nothing about an alert, such as a test message; each by what it is."""

    @property
    def received(self) -> int:
        return len(self.alerts) + len(self.problems) + len(self.ignored)


def webhook(source: str, given: Iterable[Any], *, truncated: int = 0, cure: str = "") -> Webhook:
    """The alerts among what was given; one that is wrong does not stop the others."""
    alerts: dict[int, Alert] = {}
    problems = []
    for position, one in enumerate(given, 1):
        try:
            alerts[position] = Alert.model_validate(one)
        except ValidationError as error:
            problems.append(Problem(position, named(one), f"not an alert: {places(error)}.", cure))
    return Webhook(alerts, tuple(problems), truncated, source)


def named(given: Any) -> str:
    """An alert's name and labels as a person may see them, whatever was sent."""
    labels = given.get("labels") if isinstance(given, dict) else None
    if not isinstance(labels, dict) or not labels:
        return "no labels"
    rest = {key: value for key, value in labels.items() if key != "alertname"}
    words = [f"{shown(key, 40)}={shown(value, 60)}" for key, value in [*rest.items()][:_SHOWN_LABELS]]
    more = f", and {len(rest) - _SHOWN_LABELS} more labels" if len(rest) > _SHOWN_LABELS else ""
    return f"{shown(labels.get('alertname', 'no alertname'), 60)} {', '.join(words)}{more}".strip()


def places(error: ValidationError) -> str:
    """What is wrong, field by field."""
    rows = [f"{'.'.join(map(str, place['loc'])) or 'payload'}: {place['msg']}" for place in error.errors()[:5]]
    return shown("; ".join(rows), 500)
