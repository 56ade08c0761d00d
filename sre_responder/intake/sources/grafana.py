"""Grafana alerting's webhook: alerts as Alertmanager has them, in an envelope that names the organization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sre_responder.errors import InputError
from sre_responder.intake.alert import Webhook, places, webhook


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    version: Literal["1"] = "1"
    alerts: tuple[Any, ...] = Field(min_length=1)
    truncated: int = Field(0, ge=0, alias="truncatedAlerts")


def claims(payload: Any, headers: Mapping[str, str]) -> bool:
    return isinstance(payload, dict) and "alerts" in payload and "orgId" in payload


def read(payload: Any, headers: Mapping[str, str]) -> Webhook:
    try:
        envelope = _Envelope.model_validate(payload)
    except ValidationError as error:
        raise InputError(
            f"the alert is not a webhook of Grafana alerting: {places(error)}.", cure="Send version 1."
        ) from error
    cure = "Send alerts as Grafana's contact point of type webhook does, without a custom payload."
    return webhook("grafana", envelope.alerts, truncated=envelope.truncated, cure=cure)
