"""An HTTP probe: status, latency, and what the JSON of the answer says of the service."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jmespath
from pydantic import Field, field_validator

from sre_responder.evidence.fetch import Answer, Login, fetch
from sre_responder.model import address
from sre_responder.model.expression import Expression
from sre_responder.model.look import Doubt, Look, NotMeasured, Place, Sample
from sre_responder.model.names import shown
from sre_responder.model.window import Window

PROBE = "responder/probe-url"
TELLING = 0.05
"""A window that a service of 90 % passes more often than this tells too little."""
_BY_PROXY = ("proxy-status", "x-squid-error")
"""Headers of an answer that a proxy made itself."""


class Http(Look):
    """One GET: good where status, latency and expression all hold."""

    login = Login
    source: Literal["http"] = "http"
    url: str | None = Field(None, description="Default: the catalogue's annotation responder/probe-url.")
    connection: str | None = Field(None, description="Name in connections.yml of the login that is sent along.")
    status: int = Field(200, ge=100, le=599)
    max_latency_ms: float | None = Field(None, gt=0)
    expect: Expression | None = Field(None, description="JMESPath over the JSON body; good is exactly true.")
    json_required: bool = Field(True, description="Without it an answer that is not JSON counts by status and latency.")

    @field_validator("url")
    @classmethod
    def _without_login(cls, value: str | None) -> str | None:
        if value is not None and address.has_login(value):
            raise ValueError("contains a user name or password, which every reader of the runbook would see")
        return value

    def address(self, place: Place) -> str | None:
        """Where it looks."""
        return place.annotations.get(PROBE) if self.url is None else self.url

    def missing(self, place: Place) -> str | None:
        known = self.address(place) is not None
        return None if known else f"no probe: neither success.url nor the annotation {PROBE} is set"

    @classmethod
    def reached(cls, login: Login) -> str:
        answer = fetch(login.url, 5, login=login)
        if answer.status in (401, 403):
            raise NotMeasured(f"it answers {answer.status}: the login has not enough rights")
        return f"status {answer.status}"

    def measure(self, place: Place) -> Sample:
        url = self.address(place)
        if url is None:
            raise NotMeasured(str(self.missing(place)))
        return self.judge(fetch(url, self.timeout_s, login=place.login(self.source, self.connection)))

    def judge(self, answer: Answer) -> Sample:
        """What an answer says: a service that answers wrongly is measured and bad."""
        latency, via = answer.seconds * 1000, f" (through the proxy {answer.proxy})" if answer.proxy else ""

        def found(ok: bool | None, reason: str, value: Any = None) -> Sample:
            return Sample(0, ok, reason + via, answer.status, latency, value)

        if answer.proxy and (answer.status == 407 or set(_BY_PROXY) & set(answer.headers)):
            return Sample(0, None, f"the proxy {answer.proxy} answered {answer.status} itself", answer.status, latency)
        if answer.status != self.status:
            return found(False, f"status {answer.status}, not {self.status}")
        if self.max_latency_ms is not None and latency > self.max_latency_ms:
            return found(False, f"{latency:.0f} ms, more than {self.max_latency_ms:g}")
        if self.expect is None:
            return found(True, f"status {answer.status}")
        if (encoding := answer.headers.get("content-encoding", "identity")) != "identity":
            return found(None, f"{address.shown(answer.url)} answers in {encoding}, though plain JSON was asked for")
        if not self.json_required and _is_plain(answer):
            return found(True, f"status {answer.status}, without JSON")
        try:
            document = json.loads(answer.body, parse_constant=_no_number, parse_float=_finite)
            value = jmespath.search(self.expect, document)
        except (ValueError, TypeError, ArithmeticError, RecursionError, jmespath.exceptions.JMESPathError) as error:
            return found(None, f"cannot judge the answer of {address.shown(answer.url)}: {error}")
        if not isinstance(value, bool):
            return found(None, f"{self.expect} gave {shown(repr(value))}, neither true nor false", value)
        items = document.items() if isinstance(document, dict) else ()
        facts = ", ".join(f"{name} {item}" for name, item in items if name in str(self.expect))
        said = f"{self.expect.replace('`', '')} is {str(value).lower()}"
        return found(value, f"{said} ({shown(facts)})" if facts else said, value)

    def doubts(self, window: Window, must: Sequence[Look]) -> Iterator[Doubt]:
        """An address that cannot be asked; a window that a service passes which fails one request in ten."""
        if self.url and (wrong := address.problem(self.url)):
            cure = f"Write http://host:port/path, or leave it out and annotate the service with {PROBE}."
            yield Doubt("url", f"success.url {wrong}", cure, "error")
        if (chance := window.chance(0.9)) > TELLING:
            words = (
                f"a service that fails one request in ten passes this criterion in {chance:.0%} of verdicts: the window takes "
                f"{window.samples} samples, {window.spare} of which may be bad"
            )
            yield Doubt("criterion", words, _longer(window))


SOURCE = Http


def _longer(window: Window) -> str:
    """The window that would tell 90 % from 100 %, other things equal."""
    if window.good_share <= 0.9:
        return "Set good_share above 0.9."
    for number in range(window.samples, 2000):
        if window.model_copy(update={"minimum_samples": number}).chance(0.9) <= TELLING:
            return f"Set hold_s to {number * window.interval_s:g} or more, or minimum_samples to {number}."
    return "Set good_share to 0.95 or more."


def _is_plain(answer: Answer) -> bool:
    """Whether an answer neither says that it is JSON nor begins as it does: JSON that was cut short is not plain text."""
    return "json" not in answer.headers.get("content-type", "") and answer.body.lstrip()[:1] not in (b"{", b"[")


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number
