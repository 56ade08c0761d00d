"""How far above its baseline an error rate is worse than before, and for how long in a row until that counts (spec section 6)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sre_responder.model.look import Number, Sample


class Worse(BaseModel):
    """When a service that is watched after an action has got worse: the watch then ends, and need not wait for its end."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    points: float = Field(
        10, gt=0, le=1000, description="Points above the baseline: of a hundred requests, or percent of the baseline."
    )
    by: Literal["absolute", "relative"] = Field("absolute", description="Of a hundred requests, or of the baseline.")
    minutes: float = Field(2, gt=0, le=1440, description="For how long in a row.")

    def limit(self, baseline: float) -> float:
        """The error rate above which things are worse."""
        return baseline + self.points / 100 * (1 if self.by == "absolute" else baseline)

    def found(self, sample: Sample) -> str:
        """The error rate of a sample that is worse; empty where none is. A rate or baseline that nobody knows is not called worse."""
        for role, look, one in sample.parts:
            if role == "shadow" or not (isinstance(look, Number) and look.error_rate):
                continue
            if one.value is not None and one.baseline is not None and one.value > self.limit(one.baseline):
                return f"{look.title} {one.value:g} is above {self.limit(one.baseline):g} (baseline {one.baseline:g})"
        return ""
