"""What a read-only command of this machine prints: a number, or a word. Only the policy says which commands there are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from sre_responder.model.look import NotMeasured, Number, Place, Sample
from sre_responder.model.names import shown

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Command(Number):
    """The number that a command prints; with `expect`, `value` is a text where it prints one."""

    source: Literal["command"] = "command"
    command: str = Field(description="Its name in `commands` of policy.yml.")
    args: Mapping[str, str] = Field(
        default_factory=dict, description="What it is given; $service, $environment and $NAME are filled in."
    )
    timeout_s: float = Field(5.0, gt=0, description="How long one sample may take.")

    @property
    def title(self) -> str:
        return self.name or self.command

    def read(self, place: Place) -> float:
        value = self._printed(place)
        if isinstance(value, str):
            raise NotMeasured(f"{self.command} prints '{shown(value, 60)}', which is not a number: judge it by expect")
        return value

    def measure(self, place: Place) -> Sample:
        return super().measure(place) if self.expect is None else self.expected(self._printed(place), None)

    def _printed(self, place: Place) -> float | str:
        """A number where it is one, else the text."""
        args = {name: place.filled(value) for name, value in self.args.items()}
        text = place.printed(self.command, args, self.timeout_s)
        finite = _NUMBER.fullmatch(text) and math.isfinite(float(text))
        return float(text) if finite else text


SOURCE = Command
