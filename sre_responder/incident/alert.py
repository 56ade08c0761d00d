"""Alertmanager's webhook: every field is data, never a template, and cut at a stated length."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sre_responder.errors import InputError
from sre_responder.names import shown
from sre_responder.plan import canonical

BYTES_LIMIT = 1 << 20
"""A payload that is larger is refused."""
TITLE_LIMIT = 200
"""Characters of a title; the rest is cut, and said so."""


class Alert(BaseModel):
    """One alert of a webhook; what Responder does not use is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime | None = Field(None, alias="startsAt")

    @property
    def title(self) -> str:
        text = self.annotations.get("summary") or self.labels.get("alertname") or "alert without a name"
        return shown(text, TITLE_LIMIT)

    @property
    def fingerprint(self) -> str:
        """What makes two deliveries the same alert: its labels."""
        return hashlib.sha256(canonical(self.labels).encode()).hexdigest()

    def label(self, name: str) -> str:
        """A label that must be there."""
        if not self.labels.get(name):
            raise InputError(f"the alert has no label '{name}'.", cure=f"Add the label {name} to the alert rule.")
        return self.labels[name]

    def as_jmespath(self) -> dict[str, Any]:
        """The alert as a runbook's `alerts` expression sees it."""
        return {"status": self.status, "labels": self.labels, "annotations": self.annotations}


class Webhook(BaseModel):
    """Version 4 of Alertmanager's webhook."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: Literal["4"] = "4"
    alerts: tuple[Alert, ...] = Field(min_length=1, max_length=1000)


def parse(text: str) -> Webhook:
    """The alerts of a payload; InputError names the place that is wrong."""
    if len(text.encode("utf-8", "replace")) > BYTES_LIMIT:
        raise InputError(
            "the alert is larger than 1 MiB.", cure="Lower Alertmanager's group size, or shorten annotations."
        )
    try:
        return Webhook.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(
            f"the alert is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            cure="Send Alertmanager's webhook.",
        ) from error
    except ValidationError as error:
        rows = [f"{'.'.join(map(str, p['loc'])) or 'payload'}: {p['msg']}" for p in error.errors()[:5]]
        raise InputError(
            f"the alert is not an Alertmanager webhook: {shown('; '.join(rows), 500)}.", cure="Send version 4."
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"the alert is not JSON: {shown(error, 100)}.", cure="Send Alertmanager's webhook.") from error
    except RecursionError as error:
        raise InputError("the alert is nested too deeply.", cure="Send Alertmanager's webhook.") from error
