"""What a person signs."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sre_responder.errors import InputError
from sre_responder.model.plan import canonical

Kind = Literal["approval", "break_glass", "review", "attest", "reset", "lift", "anchor"]


class Statement(BaseModel):
    """One signed sentence: who decides what about which subject, once, until when (seconds since the epoch).

    `boot` and `uptime` say the same moment by the signing machine's own clock, which nobody sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    subject: str
    decision: Literal["grant", "deny"]
    person: str
    nonce: str
    signed_at: float
    expires_at: float
    boot: str = ""
    uptime: float = 0.0
    note: str = ""

    @property
    def text(self) -> str:
        """The bytes that are signed."""
        return canonical(self.model_dump())

    @classmethod
    def parse(cls, text: str) -> Statement:
        """A statement from the text that was signed."""
        try:
            return cls.model_validate(json.loads(text))
        except (ValidationError, ValueError) as error:
            raise InputError(
                "this is not a signed statement of Responder.", cure="Sign with `responder approve`."
            ) from error
