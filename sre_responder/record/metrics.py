"""What the ledger knows, as metrics for Prometheus: one read transaction, over indexes, and no label without a bound."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy import ColumnElement, Connection, Table, func, select

from sre_responder import __version__
from sre_responder.emergency import stop
from sre_responder.guard.gates import GATES
from sre_responder.home import Home
from sre_responder.intake.verdict import Outcome
from sre_responder.ledger import Ledger, alerts, clock, outbox, tally
from sre_responder.ledger.connection import REVISION
from sre_responder.ledger.schema import attempts, chain, effects, incidents, jobs, leases, plans, runs, stops
from sre_responder.ledger.schema import outbox as messages
from sre_responder.model.names import ENVIRONMENTS

OTHER = "other"
"""In the place of a service or environment that the catalogue does not have: what was asked for wrongly makes no series."""
_PLACE = ("service", "environment")
_SETTLED = ("improved", "not_improved", "unmeasured", "not_done")
"""Outcomes that stay. An unknown one is settled later, and a counter that lost it would look like one that began again."""
Place = Callable[[str | None, str | None], tuple[str, str]]


@dataclass(frozen=True)
class _Present:
    """Something that may be there now: how many there are in each service and environment, and since when the oldest."""

    name: str
    help: str
    table: Table
    since: ColumnElement[Any]
    where: Sequence[ColumnElement[bool]] = ()

    def rows(self, connection: Connection) -> Iterable[Sequence[Any]]:
        its_own = "environment" in self.table.c
        by = [(self.table if its_own else attempts).c[name] for name in _PLACE]
        query = select(*by, func.count(), func.min(self.since)).where(*self.where).group_by(*by)
        if not its_own:
            query = query.select_from(self.table.outerjoin(attempts, attempts.c.id == self.table.c.attempt))
        return connection.execute(query)


_OPEN = incidents.c.status == "open"
_ENDED = func.coalesce(effects.c.ended_at, effects.c.intended_at)
_NOT_UNDONE = effects.c.undone_at.is_(None)
_PRESENT = (
    _Present("incidents_open", "Open incidents.", incidents, incidents.c.opened_at, [_OPEN]),
    _Present("runs_active", "Runs that have not ended.", runs, runs.c.started_at, [runs.c.ended_at.is_(None)]),
    _Present(
        "approvals_waiting", "Plans of open incidents that wait for a person.",
        plans, plans.c.made_at, [plans.c.waiting.is_(True), plans.c.incident.in_(select(incidents.c.id).where(_OPEN))],
    ),
    _Present(
        "stops_active", "Active emergency stops; without a service or an environment they cover all of them.",
        stops, stops.c.raised_at, [stops.c.lifted_at.is_(None)],
    ),
    _Present(
        "targets_frozen", "Targets on which the outcome of an action is unknown.",
        effects, _ENDED, [effects.c.state == "unknown", _NOT_UNDONE],
    ),
    _Present(
        "targets_contained", "Targets that are contained and not undone.",
        effects, _ENDED, [effects.c.state == "done", effects.c.contains.is_(True), _NOT_UNDONE],
    ),
    _Present(
        "jobs_waiting", "Runs that alerts ask for, and that no process has taken yet.",
        jobs, jobs.c.queued_at, [jobs.c.ended_at.is_(None), jobs.c.holder.is_(None)],
    ),
    _Present("targets_held", "Targets that an attempt holds.", leases, leases.c.taken_at),
)  # fmt: skip


def read(home: Home, ledger: Ledger) -> list[Metric]:
    """All metrics. ResponderError if home or ledger cannot be read: then `down` has what can be said."""
    services, file = home.catalogue.services, stop.read_file(home.policy.stop.file)
    with ledger.transaction(reading=True) as connection:
        return [*_about(up=True), *collect(connection, ledger.now(connection), services, file)]


def down() -> list[Metric]:
    """The metrics of a Responder whose home or ledger cannot be read."""
    return list(_about(up=False))


def registry(metrics: Sequence[Metric]) -> CollectorRegistry:
    """These metrics as the library writes them."""

    class Read(Collector):
        def collect(self) -> Sequence[Metric]:
            return metrics

    made = CollectorRegistry()
    made.register(Read())
    return made


def collect(connection: Connection, now: float, services: Collection[str], file: stop.Source) -> Iterator[Metric]:
    """What the ledger knows, and how the stop file stands."""

    def place(service: str | None, environment: str | None) -> tuple[str, str]:
        return _bounded(service, services), _bounded(environment, ENVIRONMENTS)

    for one in _PRESENT:
        yield from _present(one, connection, place)
    yield _stop_file(file)
    yield from _counted(tally.total(connection))
    yield _runs(connection, place)
    yield _actions(connection, place)
    unknown = connection.execute(select(func.count()).where(attempts.c.outcome == "unknown")).scalar_one()
    yield _gauge("actions_unknown", "Actions whose outcome is unknown; the others have ended, or still run.", unknown)
    yield from _messages(connection, now)
    yield from _alerts(connection)
    head = connection.execute(select(chain.c.at)).scalar_one()
    yield _gauge("record_head_timestamp_seconds", "When the newest entry of the record was made.", head)
    yield _gauge("record_ahead_seconds", "By how much that entry is dated ahead of the clock.", clock.ahead(connection))


def _about(*, up: bool) -> Iterator[Metric]:
    yield _gauge("up", "Whether home and ledger can be read; if they cannot, Responder changes nothing.", int(up))
    yield _gauge("collected_timestamp_seconds", "When these metrics were read.", time.time())
    info = GaugeMetricFamily(
        "responder_build_info", "The version that runs here.", labels=("version", "ledger_revision")
    )
    info.add_metric((__version__, REVISION), 1)
    yield info


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"responder_{name}", help, value=value)


def _bounded(value: str | None, known: Collection[str]) -> str:
    if not value:
        return ""
    return value if value in known else OTHER


def _grouped(
    rows: Iterable[Sequence[Any]], place: Place, combine: Callable[[Iterable[float]], float]
) -> dict[tuple[str, ...], tuple[int, float]]:
    """Rows of service, environment, further labels, a number and a value, by their labels."""
    groups: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
    for service, environment, *labels, number, value in rows:
        groups[(*place(service, environment), *map(str, labels))].append((number, value))
    return {labels: (sum(n for n, _ in found), combine(v for _, v in found)) for labels, found in groups.items()}


def _present(one: _Present, connection: Connection, place: Place) -> Iterator[Metric]:
    number = GaugeMetricFamily(f"responder_{one.name}", one.help, labels=_PLACE)
    oldest = GaugeMetricFamily(
        f"responder_{one.name}_oldest_timestamp_seconds", "Since when the oldest of them.", labels=_PLACE
    )
    for labels, (count, since) in _grouped(one.rows(connection), place, min).items():
        number.add_metric(labels, count)
        oldest.add_metric(labels, since)
    yield from (number, oldest)


def _stop_file(file: stop.Source) -> Metric:
    states = GaugeMetricFamily(
        "responder_stop_file", "The state of the stop file; raised and unreadable stop everything.", labels=("state",)
    )
    for state in ("clear", "raised", "unreadable"):
        states.add_metric((state,), int(state == file.state))
    return states


def _counted(told: tally.Tally) -> Iterator[Metric]:
    entries = CounterMetricFamily("responder_record_entries", "Entries of the record, by type.", labels=("type",))
    refusals = CounterMetricFamily(
        "responder_gate_refusals",
        "Refusals by the gate that refused; one decision may have several.",
        labels=("gate", "status"),
    )
    none = {f"refusal {gate.__name__} {status}": 0 for gate in GATES for status in ("failed", "unknown")}
    for key, number in (none | told).items():
        kind, *labels = key.split()
        if kind in ("entry", "refusal"):
            (entries if kind == "entry" else refusals).add_metric(labels, number)
    decisions = CounterMetricFamily("responder_decisions", "Decisions of the guard.", labels=("verdict",))
    decisions.add_metric(("allowed",), told["entry action.started"])
    decisions.add_metric(("refused",), told["entry gate.blocked"])
    yield from (entries, refusals, decisions)
    yield SummaryMetricFamily(
        "responder_approval_wait_seconds", "How long plans waited for the people who decided about them.",
        count_value=told["waits"], sum_value=told["waited_ms"] / 1000,
    )  # fmt: skip


def _durations(name: str, help: str, labels: Sequence[str], rows: Iterable[Sequence[Any]], place: Place) -> Metric:
    summary = SummaryMetricFamily(f"responder_{name}_duration_seconds", help, labels=(*_PLACE, *labels))
    for values, (count, seconds) in _grouped(rows, place, sum).items():
        summary.add_metric(values, count, seconds)
    return summary


def _runs(connection: Connection, place: Place) -> Metric:
    by, lasted = (runs.c.service, runs.c.environment, runs.c.ending), runs.c.ended_at - runs.c.started_at
    query = select(*by, func.count(), func.sum(lasted)).where(runs.c.ended_at > 0).group_by(*by)
    return _durations(
        "run", "Runs that have ended, and how long they took.", ("ending",), connection.execute(query), place
    )


def _actions(connection: Connection, place: Place) -> Metric:
    of = attempts.c
    by, lasted = (of.service, of.environment, of.action, of.rung, of.outcome), of.ended_at - of.started_at
    query = select(*by, func.count(), func.sum(lasted)).where(of.outcome.in_(_SETTLED)).group_by(*by)
    help = "Actions whose outcome is known, and how long they took with the watch after them."
    return _durations("action", help, ("action", "rung", "outcome"), connection.execute(query), place)


def _messages(connection: Connection, now: float) -> Iterator[Metric]:
    waiting = select(func.count(), func.min(messages.c.made_at)).where(messages.c.done_at.is_(None))
    number, oldest = connection.execute(waiting).one()
    yield _gauge("messages_waiting", "Messages that not every channel has taken yet.", number)
    if number:
        yield _gauge("messages_waiting_oldest_timestamp_seconds", "Since when the oldest of them.", oldest)
    undelivered = GaugeMetricFamily(
        "responder_messages_undelivered", "Messages that a channel did not take; given up: within a week.",
        labels=("channel", "given_up"),
    )  # fmt: skip
    for trouble in outbox.troubles(connection, now):
        undelivered.add_metric((trouble.channel, str(trouble.given_up).lower()), trouble.messages)
    yield undelivered


def _alerts(connection: Connection) -> Iterator[Metric]:
    """What `responder serve` has received. What is lost is 0, or something is wrong with Responder."""
    totals = alerts.totals(connection)
    yield CounterMetricFamily("responder_alerts_received", "Reports of alerts that were received.", totals.received)
    ended = GaugeMetricFamily("responder_alerts", "Alerts by how each ended.", labels=("outcome",))
    for outcome in get_args(Outcome):
        ended.add_metric((outcome,), totals.ended.get(outcome, 0))
    yield ended
    yield _gauge("alerts_lost", "Reports that were received and ended in no way.", totals.lost)
    turned_away = CounterMetricFamily(
        "responder_requests_turned_away", "Requests that held no alert that could be used, by why.", labels=("why",)
    )
    for row in alerts.counts(connection):
        turned_away.add_metric((row.name,), row._mapping["count"])
    yield turned_away
