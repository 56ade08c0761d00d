"""A runbook's success criterion: where to look, what is good, and how long it must stay good."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sre_responder.model import address
from sre_responder.model.expression import Expression

MOST_SAMPLES = 100_000
"""More samples in one window are a slip of the pen: a day at one a second is fewer."""


class Look(BaseModel):
    """One place to look, and what is good there: over HTTP status, latency and expression all hold; on Kubernetes the expression does."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Literal["http", "kubernetes"] = "http"
    url: str | None = Field(None, description="Default: the catalogue's annotation responder/probe-url.")
    status: int = Field(200, ge=100, le=599)
    max_latency_ms: float | None = Field(None, gt=0)
    expect: Expression | None = Field(
        None,
        description="JMESPath; good is exactly true. Over the JSON body, or over what evidence/kubernetes.py reads: desired, "
        "available, ready, rolled_out, failing, reasons, restarts, endpoints, events.",
    )
    json_required: bool = Field(True, description="Without it an answer that is not JSON counts by status and latency.")
    required: bool = Field(
        True, description="Without it a look of `must` is left out if the catalogue does not say where."
    )
    window_s: float = Field(60.0, gt=0, description="How far back a restart on Kubernetes counts.")
    timeout_s: float = Field(2.0, gt=0)

    @field_validator("url")
    @classmethod
    def _without_login(cls, value: str | None) -> str | None:
        if value is not None and address.has_login(value):
            raise ValueError("contains a user name or password, which every reader of the runbook would see")
        return value


class Criterion(Look):
    """A look, or several that must all be good, sampled over time."""

    must: tuple[Look, ...] = Field((), description="Looks that must all be good, in place of a single one.")
    watch_s: float = Field(6.0, gt=0, description="How long recovery may take after an action; the window follows.")
    hold_s: float = Field(10.0, ge=0, description="The window that is judged: how long the service must stay good.")
    minimum_samples: int = Field(20, ge=1, description="The window takes at least this many samples.")
    good_share: float = Field(1.0, gt=0.5, le=1, description="The share of the window's samples that must be good.")
    interval_s: float = Field(0.2, gt=0, description="From one sample to the next.")

    @property
    def looks(self) -> tuple[Look, ...]:
        """Where it looks: at each of `must`, or at the one place that it names itself."""
        return self.must or (self,)

    @property
    def samples(self) -> int:
        """How many samples the window takes: enough to last `hold_s`, and never fewer than `minimum_samples`."""
        return max(self.minimum_samples, math.ceil(self.hold_s / self.interval_s) + 1)

    @property
    def spare(self) -> int:
        """How many of them may be other than good."""
        return math.floor((1 - self.good_share) * self.samples + 1e-9)

    def chance(self, success_rate: float) -> float:
        """The probability that a service which answers this share of its requests well passes one window."""
        if success_rate in (0, 1):
            return float(success_rate)
        good, bad, n = math.log(success_rate), math.log1p(-success_rate), math.lgamma(self.samples + 1)
        return math.fsum(
            # by logarithms: the ways to choose hundreds of samples are more than a float can hold
            math.exp(n - math.lgamma(k + 1) - math.lgamma(self.samples - k + 1) + k * bad + (self.samples - k) * good)
            for k in range(self.spare + 1)
        )

    @model_validator(mode="after")
    def _one_place_or_several(self) -> Criterion:
        if self.must and (besides := sorted(Look.model_fields.keys() & self.model_fields_set)):
            raise ValueError(f"{', '.join(besides)}: say so in each entry of must")
        return self

    @model_validator(mode="after")
    def _within_reason(self) -> Criterion:
        if self.minimum_samples > MOST_SAMPLES:
            raise ValueError(f"one window takes at most {MOST_SAMPLES} samples: lower minimum_samples")
        if (number := self.hold_s / self.interval_s) > MOST_SAMPLES:
            raise ValueError(
                f"one window takes {number:.0f} samples, and at most {MOST_SAMPLES}: shorten hold_s, or lengthen interval_s"
            )
        return self
