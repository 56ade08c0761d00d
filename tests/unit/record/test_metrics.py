"""Metrics: what the ledger knows, with counters that never fall, labels that have a bound, and no scan of what grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from bench import past
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support import ledgers, query_plans
from support.history import EPOCH, History

from sre_responder import __version__
from sre_responder.emergency import stop
from sre_responder.errors import LedgerUnavailable
from sre_responder.ledger import Ledger, alerts, archive, attempts, incidents, outbox, runs
from sre_responder.ledger.connection import REVISION
from sre_responder.record import metrics

Values = dict[str, float]


def values(found: Sequence[Metric]) -> Values:
    """Each sample as Prometheus would read it, by its name and labels as they are written."""
    text = generate_latest(metrics.registry(found)).decode()
    read = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = [name(sample.name, **sample.labels) for sample in read]
    assert len(set(names)) == len(names), "no series is there twice"
    return {name: sample.value for name, sample in zip(names, read, strict=True)}


def name(metric: str, **labels: str) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"responder_{metric.removeprefix('responder_')}{{{inside}}}"


def now(history: History) -> Values:
    return values(metrics.read(history.home, history.ledger))


HERE = {"service": "checkout", "environment": "staging"}
ACTION = {**HERE, "action": "http_cache_purge", "rung": "1"}


def test_a_new_ledger_says_that_it_is_read_and_that_nothing_happened(history: History) -> None:
    found = now(history)
    assert found[name("up")] == 1
    assert found[name("build_info", version=__version__, ledger_revision=REVISION)] == 1
    assert found[name("decisions_total", verdict="allowed")] == found[name("decisions_total", verdict="refused")] == 0
    assert found[name("stop_file", state="clear")] == 1
    assert {found[name("gate_refusals_total", gate="loop", status=status)] for status in ("failed", "unknown")} == {0}
    assert found[name("messages_waiting")] == found[name("actions_unknown")] == 0
    assert not [one for one in found if "service=" in one]


def test_what_cannot_be_read_is_down_and_says_no_more() -> None:
    found = values(metrics.down())
    assert found[name("up")] == 0
    assert {one.partition("{")[0] for one in found} == {
        "responder_up", "responder_build_info", "responder_collected_timestamp_seconds"
    }  # fmt: skip


def test_a_ledger_that_is_lost_is_an_error_and_never_a_zero(history: History) -> None:
    assert history.ledger.path is not None
    history.ledger.path.unlink()
    with pytest.raises(LedgerUnavailable):
        metrics.read(history.home, history.ledger)


def test_decisions_are_counted_by_verdict_and_refusals_by_gate(history: History) -> None:
    history.tried(1).refused(2).refused(3)
    found = now(history)
    assert found[name("decisions_total", verdict="allowed")] == 1
    assert found[name("decisions_total", verdict="refused")] == 2
    assert found[name("gate_refusals_total", gate="inputs", status="failed")] == 2
    assert found[name("record_entries_total", type="gate.blocked")] == 2


def test_actions_are_counted_with_their_time_once_their_outcome_is_known(history: History) -> None:
    history.tried(1, outcome="running")
    history.minute = 3
    assert not [one for one in now(history) if "action_duration" in one]
    history.ended("not_improved").tried(4, "restart", outcome="improved")
    found = now(history)
    assert found[name("action_duration_seconds_count", **ACTION, outcome="not_improved")] == 1
    assert found[name("action_duration_seconds_sum", **ACTION, outcome="not_improved")] == pytest.approx(120, abs=1)
    restart = {**HERE, "action": "supervisor_restart", "rung": "2", "outcome": "improved"}
    assert found[name("action_duration_seconds_count", **restart)] == 1


def test_an_unknown_outcome_freezes_its_target_and_is_counted_once_it_is_settled(history: History) -> None:
    found = now(history.tried(1, outcome="unknown"))
    assert found[name("actions_unknown")] == found[name("targets_frozen", **HERE)] == 1
    assert found[name("targets_frozen_oldest_timestamp_seconds", **HERE)] == pytest.approx(EPOCH + 60, abs=1)
    assert not [one for one in found if "action_duration" in one]
    found = now(history.settled(5, "not_done"))
    assert found[name("actions_unknown")] == 0 and name("targets_frozen", **HERE) not in found
    assert found[name("action_duration_seconds_count", **ACTION, outcome="not_done")] == 1


def test_containment_is_there_until_it_is_undone(history: History) -> None:
    history.tried(1, "drain", "improved")
    assert now(history)[name("targets_contained", **HERE)] == 1
    with history.ledger.transaction() as connection:
        [row] = attempts.contained(connection)
        attempts.undone(connection, history.ledger.now(connection), row.attempt, row.target)
    assert name("targets_contained", **HERE) not in now(history)


def test_a_wait_for_people_lasts_from_the_first_refusal_to_the_last_answer_that_was_needed(history: History) -> None:
    history.policy(approvals={"needed_for": {"http_cache_purge": 2}})
    there = {"service": "checkout", "environment": "production"}
    history.attested(1).asks(10, environment="production")
    waiting = now(history)
    assert waiting[name("approvals_waiting", **there)] == 1
    assert waiting[name("approvals_waiting_oldest_timestamp_seconds", **there)] == pytest.approx(EPOCH + 600, abs=1)
    history.signs(12, "dana")
    assert now(history)[name("approval_wait_seconds_count")] == 0
    history.signs(15, "omar")
    found = now(history)
    assert found[name("approval_wait_seconds_count")] == 1
    assert found[name("approval_wait_seconds_sum")] == pytest.approx(300, abs=1)


def test_what_waits_for_a_closed_incident_waits_for_nobody(history: History) -> None:
    history.attested(1).asks(10, environment="production")
    with history.ledger.transaction() as connection:
        incidents.close(connection, history.ledger.now(connection), history.incident("checkout", "production"), "dana")
    assert not [one for one in now(history) if "approvals_waiting" in one]


def test_a_denial_ends_a_wait_and_a_second_question_begins_another(history: History) -> None:
    history.attested(1).asks(10, environment="production")
    history.signs(11, "dana", "deny").asks(20, environment="production")
    history.signs(22, "omar", "deny").signs(40, "iris", "deny")
    found = now(history)
    assert found[name("approval_wait_seconds_count")] == 2
    assert found[name("approval_wait_seconds_sum")] == pytest.approx(180, abs=1)


def test_stops_are_shown_by_what_they_cover_and_since_when(history: History) -> None:
    with history.ledger.transaction() as connection:
        stop.raise_(connection, EPOCH, "dana", "x")
        stop.raise_(connection, EPOCH + 5, "dana", "x", environment="staging", service="checkout")
    found = now(history)
    assert found[name("stops_active", service="", environment="")] == found[name("stops_active", **HERE)] == 1
    assert found[name("stops_active_oldest_timestamp_seconds", **HERE)] == EPOCH + 5


@pytest.mark.parametrize("state", ["raised", "unreadable"])
def test_the_stop_file_has_one_state(history: History, state: str) -> None:
    file = history.home.policy.stop.file
    if state == "raised":
        file.write_text("why\n")
    else:
        file.parent.rmdir()
    found = now(history)
    assert {found[name("stop_file", state=one)] for one in ("clear", "raised", "unreadable") if one != state} == {0}
    assert found[name("stop_file", state=state)] == 1


def test_runs_are_active_until_they_end_and_then_counted_by_ending(history: History) -> None:
    history.minute = 1
    with history.ledger.transaction() as connection:
        for id in ("a", "b"):
            runs.begin(connection, history.clock, id, driven=True, requester="x", **HERE)  # type: ignore[arg-type]
        runs.end(connection, history.clock + 30, "a", "healed", "x", "x")
    found = now(history)
    assert found[name("runs_active", **HERE)] == 1
    assert found[name("run_duration_seconds_count", **HERE, ending="healed")] == 1
    assert found[name("run_duration_seconds_sum", **HERE, ending="healed")] == 30


def test_a_name_that_the_catalogue_does_not_have_makes_no_series_of_its_own(history: History) -> None:
    hostile = ['a"} 1\nresponder_up 0\n', "nosuch", "{{ lookup('pipe', 'id') }}"]
    with history.ledger.transaction() as connection:
        for number, text in enumerate(hostile):
            runs.begin(
                connection, EPOCH + number, f"run-{number}", driven=False, requester="x", service=text, environment=text
            )  # fmt: skip
            runs.end(connection, EPOCH + number + 2, f"run-{number}", "refused", "x", "x")
        runs.begin(connection, EPOCH, "plain", driven=False, requester="x")
    other = {"service": "other", "environment": "other"}
    found = now(history)
    assert found[name("run_duration_seconds_count", **other, ending="refused")] == 3
    assert found[name("run_duration_seconds_sum", **other, ending="refused")] == 6
    assert found[name("runs_active", service="", environment="")] == 1 and found[name("up")] == 1


def test_messages_wait_and_the_channel_that_does_not_take_them_is_named(history: History) -> None:
    history.refused(1)
    found = now(history)
    assert found[name("messages_waiting")] == 1
    assert found[name("messages_waiting_oldest_timestamp_seconds")] == pytest.approx(EPOCH + 60, abs=1)
    history.policy(notifications=[{"kind": "file", "name": "log", "path": "/proc/none/x"}])
    from sre_responder.notify.deliver import deliver

    assert outbox.deliver(history.ledger, history.home.policy.notifications, deliver) == 1
    assert now(history)[name("messages_undelivered", channel="log", given_up="false")] == 1


def test_archiving_takes_nothing_from_a_counter(history: History, tmp_path: Path) -> None:
    history.attested(0).asks(1, environment="production")
    history.signs(3, "dana").refused(4, service="search").tried(5, service="basket")
    history.minute = 10_000
    with history.ledger.transaction() as connection:
        for row in incidents.open_now(connection):
            incidents.close(connection, history.ledger.now(connection), row.id, "dana")
    before = counters(now(history))
    for minute in (2, 4.5, 10_001):  # between a question and its answer, before the last action, all
        until = EPOCH + minute * 60
        archive.move(history.ledger, until, tmp_path / f"{minute}.jsonl", "dana")
        after = counters(now(history))
        assert after.pop(ARCHIVED) == before.pop(ARCHIVED, 0) + 1
        assert after == before
        before = {**after, ARCHIVED: 1 + [2, 4.5, 10_001].index(minute)}


ARCHIVED = name("record_entries_total", type="record.archived")


def counters(found: Values) -> Values:
    return {one: value for one, value in found.items() if "_total{" in one or "_count{" in one or "_sum{" in one}


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_no_query_scans_what_grows_with_history(ledger_url: str, history: History) -> None:
    ledger = ledgers.make(Ledger(ledger_url))
    past.write(ledger, 10_000, "d" * 64)
    with query_plans.scans(ledger) as found:
        read = values(metrics.read(history.home, ledger))
    assert found == []
    assert read[name("record_entries_total", type="action.ended")] == 10_000


def test_both_databases_say_the_same(ledger_url: str, history: History) -> None:
    ledger = ledgers.make(Ledger(ledger_url, clock=lambda: EPOCH))
    past.write(ledger, 100, "d" * 64)
    history.asks(1, environment="production")
    found = values(metrics.read(history.home, ledger))
    ended = sum(value for one, value in found.items() if one.startswith("responder_action_duration_seconds_count"))
    assert ended == found[name("record_entries_total", type="action.ended")] == 100


def test_alerts_are_counted_as_they_came_in_and_by_how_each_ended_and_none_is_lost(history: History) -> None:
    with history.ledger.transaction() as connection:
        alerts.count(connection, 1.0, alerts.RECEIVED, 3)
        alerts.count(connection, 1.0, "401", 2, "no valid credential")
        told = {"source": "alertmanager", "sender": "am", "alert": "Slow", "title": "Slow", "reason": "x"}
        at = {"starts_at": 1.0, "first_at": 1.0, "last_at": 1.0}
        alerts.write(connection, [
            alerts.Episode("a", **told, **at, outcome="started", times=2),
            alerts.Episode("b", **told, **at, outcome="paged", times=1),
        ])  # fmt: skip
    found = now(history)
    assert found[name("alerts_received_total")] == 3
    assert found[name("alerts", outcome="started")] == found[name("alerts", outcome="paged")] == 1
    assert found[name("alerts", outcome="joined")] == 0
    assert found[name("requests_turned_away_total", why="401")] == 2
    assert found[name("alerts_lost")] == 0
    with history.ledger.transaction() as connection:
        alerts.count(connection, 1.0, alerts.RECEIVED, 1)
    assert now(history)[name("alerts_lost")] == 1
