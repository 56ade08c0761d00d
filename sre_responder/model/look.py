"""One place to look: what every source of evidence has in common, what it is given, and the sample that it takes."""

from __future__ import annotations

import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import jmespath
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sre_responder.model.expression import Expression
from sre_responder.model.names import shown
from sre_responder.model.window import Window

LABEL = "responder/label-"
"""Annotations that fill `$NAME` in the queries of looks."""
_VALUE = re.compile(r"[A-Za-z0-9._:/@-]{1,200}")
"""What may stand in a query: nothing that ends a string in PromQL, LogsQL or SQL."""


class NotMeasured(Exception):
    """Why nothing could be measured."""


@dataclass(frozen=True)
class Sample:
    """One measurement at a time of the monotonic clock; `ok` is None where nothing could be measured."""

    at: float
    ok: bool | None
    reason: str
    status: int | None = None
    latency_ms: float | None = None
    value: Any = None
    baseline: float | None = None
    parts: tuple[Part, ...] = ()
    """The samples of the looks of which it is made."""


class Part(NamedTuple):
    """The sample of one look among several."""

    role: Role
    look: Look
    sample: Sample


Role = Literal["must", "should", "shadow"]


@dataclass(frozen=True)
class Baseline:
    """What a look measured before an incident began; None, and why, if that cannot be known."""

    value: float | None
    reason: str


def _no_login(source: str, name: str | None) -> Any:
    return None


def _no_command(name: str, args: Mapping[str, str], timeout_s: float) -> str:
    raise NotMeasured(f"the policy does not allow the command '{shown(name, 64)}'")


@dataclass(frozen=True)
class Place:
    """The service that is looked at: how it is reached, with which login, and when it was changed last."""

    service: str
    environment: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    login: Callable[[str, str | None], Any] = _no_login
    """The connection of a source by its name, else the one that the service names; None if it names none, NotMeasured if there is none of it."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """By the key of the look."""
    acted_at: float | None = None
    """When an action ended, by the monotonic clock, while the service is watched after it."""
    printed: Callable[[str, Mapping[str, str], float], str] = _no_command
    """What a command of the policy prints, given its arguments and the seconds it has. NotMeasured if it says nothing."""
    slos: Path | None = None
    """The folder of the team's service level objectives."""

    def filled(self, text: str) -> str:
        """A query with the service's words for `$service`, `$environment` and `$NAME`. NotMeasured if one is not set."""

        def word(found: re.Match[str]) -> str:
            name = found[1]
            known = {"service": self.service, "environment": self.environment}
            value = known.get(name) or self.annotations.get(f"{LABEL}{name}")
            if not value:
                raise NotMeasured(f"${name} is not set: the service has no annotation {LABEL}{name}")
            if not _VALUE.fullmatch(value):
                raise NotMeasured(f"{LABEL}{name} holds {shown(repr(value))}, which may not stand in a query")
            return value

        return re.sub(r"\$([a-z][a-z0-9_]*)", word, text)


class Doubt(NamedTuple):
    """Why a look would not say what its author means, and the cure; an error could never be measured."""

    rule: str
    words: str
    cure: str
    level: Literal["error", "warning"] = "warning"


class Look(BaseModel, ABC):
    """A source adds `source: Literal[...]`, its fields, and how it takes a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    login: ClassVar[type[BaseModel] | None] = None
    """What a connection to this source may say."""
    workload: ClassVar[bool] = False
    """Whether it looks at what serves the users, rather than at what they get."""

    source: str
    name: str | None = Field(None, pattern=r"^[^\x00-\x1f\x7f]{1,64}$", description="How people call it.")
    required: bool = Field(
        True, description="Without it a look of `must` is left out if the catalogue does not say where."
    )
    timeout_s: float = Field(2.0, gt=0, description="How long one sample may take.")

    @property
    def title(self) -> str:
        return self.name or self.source

    @property
    def key(self) -> str:
        """By which its baseline is found: the same for the same look."""
        return hashlib.sha256(self.model_dump_json(exclude={"name"}).encode()).hexdigest()[:32]

    @property
    def usual(self) -> Mapping[str, float]:
        """The window that suits it where it is the only look, and its author names none."""
        return {}

    def resolved(self, place: Place) -> Look:
        """The look that it stands for: itself, unless it names one. NotMeasured if that is not there."""
        return self

    def judged_by(self, place: Place) -> Any:
        """What it names outside the runbook, which a plan therefore depends on; None if nothing."""
        return None

    def missing(self, place: Place) -> str | None:
        """Why this service has nowhere to look; None if it has."""
        return None

    @classmethod
    def reached(cls, login: Any) -> str:
        """What a connection answers, asked once and read-only, whatever is looked at. NotMeasured if nothing does."""
        raise NotImplementedError(f"{cls.__name__} has no connection")

    @abstractmethod
    def measure(self, place: Place) -> Sample:
        """One sample, at time 0. NotMeasured if it cannot be taken."""

    def doubts(self, window: Window, must: Sequence[Look]) -> Iterator[Doubt]:
        """What lint says of it, in this window and beside all that must be good."""
        yield from ()


class Relative(BaseModel):
    """A limit that follows the baseline: its value times `times`, and `plus` added."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    times: float = Field(1.0, ge=0, description="Times the baseline.")
    plus: float = Field(0.0, description="Added to it, in the unit of the value.")

    @model_validator(mode="after")
    def _differs(self) -> Relative:
        if not self.model_fields_set:
            raise ValueError("write a number, {times: 1.5} or {plus: 0.1}")
        return self

    def of(self, baseline: float) -> float:
        return baseline * self.times + self.plus


class Number(Look):
    """A look that reads one number and compares it: above, below, or by an expression over `value` and `baseline`."""

    above: float | Relative | None = Field(
        None, description="Good is more than this; {times, plus} follow the baseline."
    )
    below: float | Relative | None = Field(
        None, description="Good is less than this; {times, plus} follow the baseline."
    )
    expect: Expression | None = Field(
        None, description="JMESPath over `value` and `baseline`; good is exactly true, in place of above and below."
    )

    error_rate: bool = Field(
        False, description="It is the share of requests that fail, 0 to 1: far above its baseline, it ends a watch."
    )

    @abstractmethod
    def read(self, place: Place) -> float:
        """The number now. NotMeasured if there is none."""

    def history(self, place: Place, start: float, end: float) -> Sequence[float]:
        """The numbers of a time in the past, in seconds since the epoch. NotMeasured if there are none."""
        raise NotMeasured(f"{self.source} keeps no history")

    @property
    def relative(self) -> bool:
        """Whether it needs the baseline."""
        named = self.expect is not None and "baseline" in self.expect
        return named or any(isinstance(limit, Relative) for limit in (self.above, self.below))

    @model_validator(mode="after")
    def _compares(self) -> Number:
        limits = [name for name in ("above", "below") if getattr(self, name) is not None]
        if self.expect is not None and limits:
            raise ValueError(f"{limits[0]} and expect: write one of them")
        if self.expect is None and not limits:
            raise ValueError("says what is good by none of above, below and expect: write one")
        if isinstance(self.above, float) and isinstance(self.below, float) and self.above >= self.below:
            raise ValueError(f"no number is above {self.above:g} and below {self.below:g}: exchange them")
        if (self.relative or self.error_rate) and type(self).history is Number.history:
            cure = "write a number" if self.relative else "leave error_rate out"
            raise ValueError(f"{self.source} keeps no history, so there is no baseline: {cure}")
        return self

    def measure(self, place: Place) -> Sample:
        value = self.read(place)
        if not math.isfinite(value):
            raise NotMeasured(f"{self.title} is {value}, which is no number")
        baseline = self.baseline(place)
        if baseline is not None and baseline.value is None:
            raise NotMeasured(f"{self.title} is {value:g}, and its baseline is not known: {baseline.reason}")
        known = baseline.value if baseline else None
        found = self.expected(value, known) if self.expect is not None else self._limited(value, known)
        return replace(found, baseline=place.baselines.get(self.key, Baseline(None, "")).value)

    def _limited(self, value: float, known: float | None) -> Sample:
        limits = self.limits(known)
        missed = [f"not {word} {limit:g}" for word, limit in limits.items() if not _holds(word, value, limit)]
        held = [f"{word} {limit:g}" for word, limit in limits.items()]
        words = f"{self.title} {value:g} is {' and '.join(missed or held)}{_against(known)}"
        return Sample(0, not missed, words, value=value)

    def baseline(self, place: Place) -> Baseline | None:
        """What it is compared with; None if it is not compared."""
        return place.baselines.get(self.key, Baseline(None, "none was taken")) if self.relative else None

    def limits(self, baseline: float | None) -> dict[str, float]:
        """What `above` and `below` are at this baseline; one that follows an unknown baseline is left out."""
        found = {}
        for word, limit in (("above", self.above), ("below", self.below)):
            if isinstance(limit, Relative):
                limit = None if baseline is None else limit.of(baseline)
            if limit is not None:
                found[word] = limit
        return found

    def expected(self, value: float | str, baseline: float | None) -> Sample:
        """What `expect` says of a value."""
        assert self.expect is not None
        words = f"'{shown(value, 60)}'" if isinstance(value, str) else f"{value:g}"
        try:
            found = jmespath.search(self.expect, {"value": value, "baseline": baseline})
        except (TypeError, jmespath.exceptions.JMESPathError) as error:  # a text is not more than a number
            raise NotMeasured(f"cannot judge {words}: {error}") from error
        if not isinstance(found, bool):
            raise NotMeasured(f"{self.expect} gave {shown(repr(found))} for {words}, neither true nor false")
        said = f"{self.expect.replace('`', '')} is {str(found).lower()}"
        return Sample(0, found, f"{self.title} {words}{_against(baseline)}: {said}", value=value)


def _against(baseline: float | None) -> str:
    return "" if baseline is None else f" (baseline {baseline:g})"


def _holds(word: str, value: float, limit: float) -> bool:
    return value > limit if word == "above" else value < limit
