"""How good the estimates of reach were: what each action was expected to reach, and which services became unhealthy then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, select

from sre_responder.ledger import audit
from sre_responder.ledger.attempts import MADE
from sre_responder.ledger.schema import attempts
from sre_responder.ledger.troubles import Trouble


@dataclass(frozen=True)
class Estimate:
    """The services that an action was expected to reach at most, beside its own."""

    action: str
    service: str
    environment: str
    started_at: float
    ended_at: float
    expected: frozenset[str]
    unknown: bool = False
    """Whether it was made while it was not known who calls the service."""


@dataclass(frozen=True)
class Score:
    """The estimates of one action."""

    action: str
    estimates: int
    unknown: int
    expected: int
    reached: int
    """Services that became unhealthy, over all actions."""
    beyond: int
    """Actions after which a service became unhealthy that was not expected."""
    missed: tuple[str, ...]
    """Those services."""
    hits: int

    @property
    def precision(self) -> float | None:
        """Share of the expected services that became unhealthy: a low one is a cautious estimate."""
        return self.hits / self.expected if self.expected else None

    @property
    def recall(self) -> float | None:
        """Share of the services that became unhealthy which were expected: below 1, the graph lacks edges."""
        return self.hits / self.reached if self.reached else None


def made(connection: Connection, since: float) -> Iterator[Estimate]:
    """The estimate of every attempt since then that has ended, as the record has it."""
    query = select(attempts).where(attempts.c.started_at >= since, attempts.c.ended_at.is_not(None), MADE)
    rows = {row.id: row for row in connection.execute(query)}
    for entry in audit.entries(connection, type="action.started", since=since):
        row, radius = rows.pop(entry.data["attempt"], None), entry.data.get("radius")
        if row is not None and radius:  # of an attempt on several hosts the first entry counts
            expected, unknown = frozenset(radius["downstream"]), bool(radius.get("unknown"))
            yield Estimate(row.action, row.service, row.environment, row.started_at, row.ended_at, expected, unknown)


def reached(estimate: Estimate, troubles: Iterable[Trouble], within_s: float) -> frozenset[str]:
    """Other services of the environment that became unhealthy from the action on until so long after its watch."""
    there = [one for one in troubles if one.environment == estimate.environment and one.service != estimate.service]
    already = {one.service for one in there if one.at(estimate.started_at)}
    until = estimate.ended_at + within_s
    return frozenset(one.service for one in there if estimate.started_at <= one.began_at <= until) - already


def scores(estimates: Iterable[Estimate], troubles: Sequence[Trouble], within_s: float) -> list[Score]:
    """One row for each action, by its name."""
    by_action = groupby(sorted(estimates, key=lambda one: one.action), key=lambda one: one.action)
    return [_score(action, list(some), troubles, within_s) for action, some in by_action]


def _score(action: str, some: Sequence[Estimate], troubles: Sequence[Trouble], within_s: float) -> Score:
    pairs = [(one.expected, reached(one, troubles, within_s)) for one in some]
    beyond = [found - expected for expected, found in pairs if found - expected]
    return Score(
        action, estimates=len(some), unknown=sum(one.unknown for one in some), expected=sum(len(one) for one, _ in pairs),
        reached=sum(len(found) for _, found in pairs), beyond=len(beyond), missed=tuple(sorted(frozenset().union(*beyond))),
        hits=sum(len(expected & found) for expected, found in pairs),
    )  # fmt: skip
