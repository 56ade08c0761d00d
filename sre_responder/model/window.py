"""The window over which samples are judged: how long it lasts, how many samples it takes, how many of them may be bad."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_SAMPLES = 100_000
"""More samples in one window are a slip of the pen: a day at one a second is fewer."""


class Window(BaseModel):
    """How long recovery may take, and how long and how often is looked then."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    watch_s: float = Field(6.0, gt=0, description="How long recovery may take after an action; the window follows.")
    hold_s: float = Field(10.0, ge=0, description="The window that is judged: how long the service must stay good.")
    minimum_samples: int = Field(20, ge=1, description="The window takes at least this many samples.")
    good_share: float = Field(1.0, gt=0.5, le=1, description="The share of the window's samples that must be good.")
    interval_s: float = Field(0.2, gt=0, description="From one sample to the next.")

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
    def _within_reason(self) -> Window:
        if self.minimum_samples > MOST_SAMPLES:
            raise ValueError(f"one window takes at most {MOST_SAMPLES} samples: lower minimum_samples")
        if (number := self.hold_s / self.interval_s) > MOST_SAMPLES:
            raise ValueError(
                f"one window takes {number:.0f} samples, and at most {MOST_SAMPLES}: shorten hold_s, or lengthen interval_s"
            )
        return self
