"""What every section of the policy file is: frozen, without unknown keys or numbers beyond reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST = 1_000_000
"""More seconds, minutes or days are a slip of the pen, and more than timers and calendars take."""


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
"""How the policy names what others refer to."""


def named_apart(names: Iterable[str], what: str = "") -> None:
    """ValueError where two of them have one name; `what` says of which kind they are."""
    seen = list(names)
    if twice := sorted({name for name in seen if seen.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(twice)} is named twice".lstrip())


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _within_reason(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value > MOST:
            raise ValueError(f"more than {MOST}")
        return value
