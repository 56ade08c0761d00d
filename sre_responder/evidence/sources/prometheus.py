"""A number by PromQL, from Prometheus or what speaks its API: Thanos, Mimir, Cortex, VictoriaMetrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field, model_validator

from sre_responder.evidence.promql import RATES, Query, Selector, parsed
from sre_responder.evidence.series import Row, TenantLogin, after_the_action, ask, only, single
from sre_responder.model.look import Doubt, Look, NotMeasured, Number, Place
from sre_responder.model.window import Window

_LOOKBACK_S = 300
"""For how long Prometheus goes on with the last sample of a series that is not scraped any more."""
_STEP_S = 60
_QUERY = "/api/v1/query"
_USUAL_SCRAPE_S = 15
_FILTER = re.compile(r"(?:[=!]=|[<>]=?)(?!\s*bool\b)")


class Prometheus(Number):
    """The one number of a query, trusted only if fresh samples of targets that are up stand behind it."""

    login = TenantLogin
    source: Literal["prometheus"] = "prometheus"
    query: str = Field(
        min_length=1, description="PromQL that gives one number; $service, $environment and $NAME are filled in."
    )
    connection: str | None = Field(
        None, description="Name in connections.yml; default: responder/prometheus-connection."
    )
    range_s: float | None = Field(
        None, gt=0, description="Judge the worst value of so many seconds, not the last alone."
    )
    step_s: float = Field(15.0, gt=0, description="From one value of the range to the next.")
    minimum_points: int = Field(2, ge=1, description="Samples that a range of the query holds at least.")
    max_age_s: float = Field(120.0, gt=0, description="How old the newest sample behind the number may be.")
    down_targets: bool = Field(False, description="Measure although a target behind the number is down.")
    resets: bool = Field(False, description="Measure although a counter began again within the range.")

    @model_validator(mode="after")
    def _one_worst(self) -> Prometheus:
        if self.range_s is not None and (self.above is None) == (self.below is None):
            raise ValueError("range_s: the worst value is only clear with above or below alone")
        if self.range_s is not None and self.range_s < self.step_s:
            raise ValueError(f"range_s is shorter than step_s, {self.step_s:g}")
        return self

    def missing(self, place: Place) -> str | None:
        return None if self._connected(place) else "no Prometheus: responder/prometheus-connection is not set"

    @classmethod
    def reached(cls, login: TenantLogin) -> str:
        only(ask(login, _QUERY, 5, query="vector(1)"))
        return "it answers queries"

    def read(self, place: Place) -> float:
        login, query = self._api(place), place.filled(self.query)
        looked = parsed(query)
        after_the_action(place, looked.reach_s + (self.range_s or 0))
        if looked.selectors:
            checks = " or ".join(one for n, s in enumerate(looked.selectors) for one in self._checks(n, s, looked))
            self._trust(looked, ask(login, _QUERY, self.timeout_s, query=checks))
        if self.range_s is None:
            return only(ask(login, _QUERY, self.timeout_s, query=query))[-1]
        window = f"({query})[{_duration(self.range_s)}:{_duration(self.step_s)}]"
        values = only(ask(login, _QUERY, self.timeout_s, query=window))
        if len(values) < (wanted := math.floor(self.range_s / self.step_s)):
            raise NotMeasured(f"too few values: {len(values)} of {wanted} in {self.range_s:g} s")
        return min(values) if self.above is not None else max(values)

    def history(self, place: Place, start: float, end: float) -> Sequence[float]:
        form = {"query": place.filled(self.query), "start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(_STEP_S)}
        row = single(ask(self._api(place), "/api/v1/query_range", self.timeout_s, **form))
        return row.values if row else ()

    def _checks(self, number: int, one: Selector, looked: Query) -> Iterator[str]:
        """Queries whose answers say whether the samples behind one selector are to be trusted, each under its name."""
        over = _duration(one.range_s or looked.reach_s or _LOOKBACK_S)

        def named(check: str, query: str) -> str:
            return f'label_replace({query}, "check", "{check}{number}", "", "")'

        yield named("age", f"time() - max(timestamp({one.text}))")
        if one.range_s:
            yield named("points", f"max(count_over_time({one.text}[{over}]))")
        if one.counter and "resets" not in one.within and not self.resets:
            yield named("resets", f"sum(resets({one.text}[{over}]))")
        if not self.down_targets and not re.match(r"up\b", one.text):
            yield named("down", f"count((up == 0) and on (job, instance) last_over_time({one.text}[{over}]))")

    def _trust(self, looked: Query, rows: Sequence[Row]) -> None:
        """NotMeasured for the first reason not to believe the number.

        A selector may be empty beside one that is not, as that of errors is until the first one: the query itself says what then.
        """
        found = {row.labels.get("check", ""): row.values[-1] for row in rows}
        ages = [found.get(f"age{number}") for number in range(len(looked.selectors))]
        if all(age is None for age in ages):
            none = looked.selectors[0].text
            raise NotMeasured(f"no data: {none} has no current sample, so it is absent or its target is gone")
        for number, (one, age) in enumerate(zip(looked.selectors, ages, strict=True)):
            if down := found.get(f"down{number}"):
                raise NotMeasured(f"{down:.0f} scrape target{'s' if down > 1 else ''} of {one.text} down")
            if age is None:
                continue
            if age > self.max_age_s:
                raise NotMeasured(f"stale: the newest sample of {one.text} is {age:.0f} s old")
            if one.range_s and (points := found.get(f"points{number}", 0)) < self.minimum_points:
                raise NotMeasured(f"too few samples: {points:.0f} of {one.text} in {one.range_s:g} s")
            if resets := found.get(f"resets{number}"):
                raise NotMeasured(f"{one.text} began again {resets:.0f} times in the range, so its count is not whole")

    def _connected(self, place: Place) -> TenantLogin | None:
        login: TenantLogin | None = place.login(self.source, self.connection)
        return login

    def _api(self, place: Place) -> TenantLogin:
        if login := self._connected(place):
            return login
        raise NotMeasured(str(self.missing(place)))

    def doubts(self, window: Window, must: Sequence[Look]) -> Iterator[Doubt]:
        looked = parsed(self.query)
        reach = looked.reach_s + (self.range_s or 0)
        late = math.ceil((reach - window.watch_s) / window.interval_s)
        if late > window.spare:
            yield Doubt(
                "reach",
                f"{self.title} looks back {reach:g} s, and the window begins {window.watch_s:g} s after an action: what was before "
                "it would still count, so nothing is measured",
                f"Set watch_s to {reach:g} or more, or shorten the range of the query.",
                "error",
            )
        if window.hold_s < 2 * _USUAL_SCRAPE_S:
            yield Doubt(
                "samples",
                f"{self.title} is judged over {window.hold_s:g} s, in which Prometheus scrapes once at its usual interval of "
                f"{_USUAL_SCRAPE_S} s: the samples of the window repeat one measurement",
                f"Set hold_s to {4 * _USUAL_SCRAPE_S} or more, and interval_s to 5.",
            )
        yield from (
            Doubt(f"promql-{rule}", f"{self.title}: {words}", cure) for rule, words, cure in self._wrong(looked, must)
        )

    def _wrong(self, looked: Query, must: Sequence[Look]) -> Iterator[tuple[str, str, str]]:
        """What makes a query a wrong criterion, though Prometheus would answer it."""
        for one in looked.selectors:
            if one.counter and not RATES & set(one.within):
                yield (
                    "counter",
                    f"{one.text} only grows, and begins again at zero when its target restarts",
                    "Use rate().",
                )
            if 0 < one.range_s < 4 * _USUAL_SCRAPE_S:
                words = f"{one.text}[{one.range_s:g}s] holds {one.range_s / _USUAL_SCRAPE_S:.0f} samples at the usual scrape interval"
                yield "samples", words, f"Use a range of {4 * _USUAL_SCRAPE_S}s or more."
        plain = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`|\{[^}]*\}', "", self.query)
        if re.search(r"\bor\b.*\bvector\s*\(|\babsent(?:_over_time)?\s*\(", plain, re.DOTALL):
            words = (
                "a series that is absent counts as a number, so a target that was deleted or scaled to zero is healthy"
            )
            yield "absent", words, "Leave it out: without data nothing is measured."
        for one in looked.selectors:
            name, _, labels = one.text.partition("{")
            wider = any(
                other.text.partition("{")[0] == name and len(other.text) < len(one.text) for other in looked.selectors
            )
            if wider and "!" not in labels and not re.search(r"\bor\b", plain):
                words = f"{one.text} is absent until the first of its kind is counted, so a service without errors is not measured"
                yield "first", words, "Write (A or 0 * B) / B, or count what is good."
        if _FILTER.search(plain):
            words = "a comparison inside the query gives no data while it does not hold, so it is not measured then"
            yield "filter", words, "Compare with above or below, or write `bool` behind the operator."
        rated = any(
            RATES & set(one.within) and not one.text.partition("{")[0].endswith("_bucket") for one in looked.selectors
        )
        traffic = any(isinstance(one, Number) and (one.above is not None or one.expect) for one in must)
        if rated and not traffic and "/" not in plain:
            words = "without traffic nothing is counted, so a service that nobody reaches, or that is scaled to zero, is healthy"
            yield "traffic", words, "Divide by all requests, or add a look that asks for traffic with `above`."


SOURCE = Prometheus


def _duration(seconds: float) -> str:
    return f"{math.ceil(seconds * 1000)}ms"
