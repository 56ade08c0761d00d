"""Asks every source of the policy who calls whom, and keeps what they show beside what they showed before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sre_responder.errors import InputError
from sre_responder.home import Home, observed
from sre_responder.home.observed import Call, Seen
from sre_responder.home.observing import KINDS, Source
from sre_responder.model.look import NotMeasured

_DAY_S = 86_400


def refresh(home: Home, now: float) -> Mapping[str, Seen]:
    """What each source has shown, by its name; one that cannot be read keeps what it showed, which gets older."""
    before = observed.load(home.state / observed.FILE).sources
    found = {one.name: _seen(home, one, before.get(one.name, Seen()), now) for one in home.policy.graph.sources}
    observed.save(home.state / observed.FILE, found)
    return found


def _seen(home: Home, source: Source, before: Seen, now: float) -> Seen:
    wanted = home.policy.graph
    try:
        login = home.connections.of_calls(source)
        calls = tuple(KINDS[source.kind].calls(login, wanted.lookback_minutes * 60, now))
        if not calls:  # no traffic at all is less likely than a metric that nobody scrapes
            raise NotMeasured(f"it shows no call within {wanted.lookback_minutes:g} min")
    except (NotMeasured, InputError) as error:
        return before.model_copy(update={"problem": str(error)})
    return Seen(at=now, calls=merged(before.calls, calls, now - wanted.keep_days * _DAY_S))


def merged(before: Iterable[Call], calls: Iterable[Call], oldest: float) -> tuple[Call, ...]:
    """The calls that are seen now, and those that were seen since `oldest`: without a rate, and still dependencies."""
    kept = {(one.caller, one.callee): one._replace(per_second=0) for one in before if one.seen_at >= oldest}
    return tuple((kept | {(one.caller, one.callee): one for one in calls}).values())
