"""The calls that were observed between services, kept in a file: `responder graph refresh` writes it, the guard reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sre_responder.home.observing import Observing
from sre_responder.model.facts import CLOCK_SLACK_SECONDS
from sre_responder.system.files import opened

FILE = "graph.json"
"""In the folder of the machine's state."""


class Call(NamedTuple):
    """That one calls another, by the names that the source has for them; a caller without a name is outside of what it sees."""

    caller: str
    callee: str
    per_second: float
    seen_at: float


class Seen(BaseModel):
    """What one source has shown: when it answered last, and why it did not since."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    at: float | None = None
    calls: tuple[Call, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Observed:
    """What each source has shown, by its name."""

    sources: Mapping[str, Seen] = field(default_factory=dict)
    unreadable: str = ""
    """Why the file cannot be read."""

    def doubt(self, wanted: Observing, now: float) -> str:
        """Why it is not known who calls whom now; empty if it is known, or if no source is to say it."""
        if wanted.sources and self.unreadable:
            return self.unreadable
        return "; ".join(filter(None, (self._doubt(one.name, wanted.max_age_minutes, now) for one in wanted.sources)))

    def _doubt(self, name: str, max_age_minutes: float, now: float) -> str:
        seen = self.sources.get(name, Seen())
        failed = f" (last attempt: {seen.problem})" if seen.problem else ""
        if seen.at is None:
            return f"{name} has not been read yet{failed}"
        age = now - seen.at
        if age < -CLOCK_SLACK_SECONDS:
            return f"{name} was read {-age / 60:.0f} min ahead of the clock"
        if age > max_age_minutes * 60:
            return f"{name} was last read {age / 60:.0f} min ago and the policy accepts {max_age_minutes:g} min{failed}"
        return ""


_SOURCES = TypeAdapter(dict[str, Seen])


def load(path: Path) -> Observed:
    """What is kept there; nothing if there is no file yet."""
    try:
        with opened(path) as file:
            return Observed(_SOURCES.validate_json(file.read()))
    except FileNotFoundError:
        return Observed()
    except OSError as error:
        return Observed(unreadable=f"{path} cannot be read: {error.strerror}")
    except ValidationError as error:
        return Observed(unreadable=f"{path} is not what `responder graph refresh` writes: {error.errors()[0]['msg']}")


def save(path: Path, sources: Mapping[str, Seen]) -> None:
    """Keep it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(_SOURCES.dump_json(dict(sources)))
    os.replace(draft, path)
