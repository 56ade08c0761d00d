"""Alertmanager's webhook, version 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sre_responder.errors import InputError
from sre_responder.intake.alert import Webhook, places, webhook


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    version: Literal["4"] = "4"
    alerts: tuple[Any, ...] = Field(min_length=1)
    truncated: int = Field(0, ge=0, alias="truncatedAlerts")


def claims(payload: Any, headers: Mapping[str, str]) -> bool:
    return isinstance(payload, dict) and "alerts" in payload and "orgId" not in payload


def read(payload: Any, headers: Mapping[str, str]) -> Webhook:
    try:
        envelope = _Envelope.model_validate(payload)
    except ValidationError as error:
        raise InputError(
            f"the alert is not an Alertmanager webhook: {places(error)}.", cure="Send version 4."
        ) from error
    cure = "Send alerts as Alertmanager does."
    return webhook("alertmanager", envelope.alerts, truncated=envelope.truncated, cure=cure)
