"""A runbook's success criterion: where to look, what is good, and how long to watch."""

from __future__ import annotations

from typing import Literal

import jmespath
from pydantic import BaseModel, ConfigDict, Field, field_validator


class Criterion(BaseModel):
    """A probe, sampled: over HTTP good means that status, latency and expression all hold; on Kubernetes that the expression does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["http", "kubernetes"] = "http"
    url: str | None = Field(None, description="Default: the catalogue's annotation responder/probe-url.")
    status: int = Field(200, ge=100, le=599)
    max_latency_ms: float | None = Field(None, gt=0)
    expect: str | None = Field(
        None,
        description="JMESPath; good is exactly true. Over the JSON body, or over what evidence/kubernetes.py reads: desired, "
        "available, ready, rolled_out, failing, reasons, restarts, events.",
    )
    window_s: float = Field(60.0, gt=0, description="How far back a restart on Kubernetes counts.")
    minimum_samples: int = Field(5, ge=1, description="Good samples in a row that count as healthy.")
    interval_s: float = Field(0.2, gt=0)
    watch_s: float = Field(6.0, gt=0, description="How long to wait for improvement after an action.")
    timeout_s: float = Field(2.0, gt=0)

    @field_validator("expect")
    @classmethod
    def _valid_expression(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                jmespath.compile(value)
        except jmespath.exceptions.JMESPathError as error:
            raise ValueError(f"not JMESPath: {error}") from error
        return value
