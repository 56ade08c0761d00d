"""What every section of the policy file is: frozen, without unknown keys or numbers beyond reason."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

MOST = 1_000_000
"""More seconds, minutes or days are a slip of the pen, and more than timers and calendars take."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _within_reason(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value > MOST:
            raise ValueError(f"more than {MOST}")
        return value
