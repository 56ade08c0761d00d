"""A number that a program writes into a file of this machine, as a status file or the last line of a log."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sre_responder.model.look import NotMeasured, Number, Place
from sre_responder.system.files import opened

_TAIL_BYTES = 1 << 16
_LOG = "responder/log-file"


class File(Number):
    """The number in the last match of a pattern, if the file was written of late."""

    source: Literal["file"] = "file"
    path: Path | None = Field(None, description="Default: the catalogue's annotation responder/log-file.")
    pattern: str = Field(
        description="Regular expression whose one group is the number; the last match in the last 64 KiB counts."
    )
    max_age_s: float = Field(120.0, gt=0, description="How long ago the file may have been written last.")

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if groups != 1:
            raise ValueError(f"has {groups} groups: put the number, and nothing else, into brackets; (?:...) is none")
        return value

    def missing(self, place: Place) -> str | None:
        return None if self.path or _LOG in place.annotations else f"no file: neither path nor {_LOG} is set"

    def read(self, place: Place) -> float:
        path = self.path or Path(place.annotations[_LOG])
        try:
            with opened(path) as file:
                status = path.stat()
                file.seek(max(0, status.st_size - _TAIL_BYTES))
                text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise NotMeasured(f"{path} cannot be read: {error.strerror}") from error
        if (age := time.time() - status.st_mtime) > self.max_age_s:
            raise NotMeasured(f"stale: {path} was written {age:.0f} s ago")
        found = re.findall(self.pattern, text, re.MULTILINE)
        if not found:
            raise NotMeasured(f"no data: nothing in {path} matches {self.pattern}")
        try:
            return float(found[-1])
        except ValueError as error:
            raise NotMeasured(f"what {self.pattern} finds in {path} is no number: {found[-1][:40]!r}") from error


SOURCE = File
