"""What becomes of each alert: exactly one thing, once, in whichever order and however often it is reported."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from support import alerting
from support.alerting import alert, webhook

from sre_responder.home import Home
from sre_responder.intake.receive import Receipt, receive
from sre_responder.intake.sources import parse
from sre_responder.ledger import Ledger, alerts, audit, incidents, jobs
from sre_responder.ledger.schema import heartbeats as heartbeats_table
from sre_responder.ledger.schema import incidents as incidents_table
from sre_responder.ledger.schema import jobs as jobs_table


class Site:
    """A home with its ledger, and a clock that tests move."""

    def __init__(self, folder: Path, ledger_url: str, **serve: Any) -> None:
        self.home: Home = alerting.home(folder, ledger_url, **serve)
        self.seconds = 1_800_000_000.0
        self.ledger = Ledger(ledger_url, clock=lambda: self.seconds, boot=lambda: ("boot", self.seconds))

    def receive(self, *given: dict[str, Any], sender: str = "am", **more: Any) -> Receipt:
        return receive(self.home, self.ledger, parse(webhook(*given, **more)), sender)

    def jobs(self) -> list[Any]:
        with self.ledger.transaction(reading=True) as connection:
            return jobs.open_now(connection)

    def rows(self) -> list[Any]:
        with self.ledger.transaction(reading=True) as connection:
            return alerts.recent(connection, 1000)

    def totals(self) -> alerts.Totals:
        with self.ledger.transaction(reading=True) as connection:
            return alerts.totals(connection)

    def entries(self, type: str) -> list[audit.Entry]:
        with self.ledger.transaction(reading=True) as connection:
            return list(audit.entries(connection, type=type))

    def finish(self, job: int, *, closed: bool) -> None:
        """A run came to its end; `closed`: it was measured healthy."""
        with self.ledger.transaction() as connection:
            now, row = self.ledger.now(connection), jobs.get(connection, job)
            assert row is not None
            jobs.end(connection, now, job, "healed" if closed else "exhausted")
            if closed:
                incidents.close(connection, now, row.incident, "responder")


@pytest.fixture
def site(tmp_path: Path, ledger_url: str) -> Site:
    return Site(tmp_path, ledger_url)


@pytest.fixture
def timed(tmp_path: Path) -> Site:
    """On SQLite, where the clock of the ledger is the test's."""
    return Site(tmp_path, f"sqlite:///{tmp_path}/state/ledger.db")


def test_the_alerts_of_one_cause_are_one_incident_and_one_run(site: Site) -> None:
    receipt = site.receive(*(alert(pod=f"p{number}") for number in range(5)), alert(severity="critical", pod="bad"))
    assert receipt.outcomes == {"started": 1, "joined": 5}
    [job] = site.jobs()
    assert (job.incident, job.runbook, job.severity) == (receipt.incidents[0], "service-errors", "SEV1")
    assert len(site.entries("incident.opened")) == 1


def test_the_same_group_from_a_second_alertmanager_starts_nothing(site: Site) -> None:
    site.receive(alert(), sender="am-1")
    receipt = site.receive(alert(), sender="am-2")
    assert receipt.as_dict() == {"received": 1, "repeated": 1, "incidents": []}
    assert len(site.jobs()) == 1 and site.rows()[0].times == 2


@pytest.mark.parametrize("known", [True, False])
def test_firing_that_arrives_behind_resolved_starts_nothing(site: Site, known: bool) -> None:
    over = alert("resolved", "10:00", "10:05")
    for one in [*([alert()] if known else []), over, alert()]:
        site.receive(one)
    assert len(site.jobs()) == known
    assert [row.outcome for row in site.rows()] == (["started"] if known else ["ignored"])


def test_resolved_neither_acts_nor_closes(site: Site) -> None:
    receipt = site.receive(alert())
    site.receive(alert("resolved", "10:00", "10:05"))
    with site.ledger.transaction(reading=True) as connection:
        assert incidents.get(connection, receipt.incidents[0]).status == "open"  # type: ignore[union-attr]
    assert len(site.jobs()) == 1


REPORTS = [
    alert(),
    alert("resolved", "10:00", "10:05"),
    alert("firing", "10:20"),
    alert("resolved", "10:20", "10:30"),
    alert(pod="other"),
]


@settings(max_examples=25, deadline=None)
@given(order=st.lists(st.sampled_from(range(len(REPORTS))), max_size=12))
def test_in_any_order_there_is_one_run_at_once_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, f"sqlite:///{folder / 'state' / 'ledger.db'}")
    for number in order:
        site.receive(REPORTS[number], sender=f"am-{number % 2}")
    assert len(site.jobs()) <= 1
    totals = site.totals()
    assert (totals.received, totals.lost) == (len(order), 0)


def test_an_alert_that_fires_again_soon_joins_and_later_starts_a_run(timed: Site) -> None:
    timed.receive(alert())
    timed.finish(1, closed=False)
    timed.receive(alert("resolved", "10:00", "10:05"))
    assert timed.receive(alert("firing", "10:10")).outcomes == {"joined": 1}
    timed.receive(alert("resolved", "10:10", "10:12"))
    timed.seconds += 16 * 60
    assert timed.receive(alert("firing", "10:40")).outcomes == {"started": 1}


def test_an_alert_that_fires_on_after_its_incident_was_closed_starts_a_new_one_later(timed: Site) -> None:
    [first] = timed.receive(alert()).incidents
    timed.finish(1, closed=True)
    assert timed.receive(alert()).outcomes == {}  # the other Alertmanager, late
    timed.seconds += 16 * 60
    receipt = timed.receive(alert())
    assert receipt.outcomes == {"started": 1} and receipt.incidents != (first,)


def test_no_runbook_pages_once_and_starts_one_as_soon_as_there_is_one(site: Site) -> None:
    unknown = alert(alertname="Strange")
    assert site.receive(unknown).outcomes == {"paged": 1}
    site.receive(unknown)
    site.receive(alert(alertname="Strange", pod="another"))
    [page] = site.entries("alert.paged")
    assert "0 runbooks serve" in page.summary and "--service hello --environment dev --severity SEV3" in page.summary
    book = site.home.folder / "runbooks" / "strange" / "runbook.yml"
    book.parent.mkdir()
    text = (Path(__file__).parents[3] / "runbooks" / "service-errors" / "runbook.yml").read_text()
    book.write_text(text.replace("service-errors", "strange").replace("ServiceErrors", "Strange"))
    site.home = Home(site.home.folder, site.home.ledger_url, site.home.state)
    assert site.receive(unknown).outcomes == {"started": 1}


def test_two_runbooks_that_are_equally_specific_page_with_their_names(site: Site) -> None:
    for name in ("one", "two"):
        book = site.home.folder / "runbooks" / name / "runbook.yml"
        book.parent.mkdir()
        text = (Path(__file__).parents[3] / "runbooks" / "service-errors" / "runbook.yml").read_text()
        book.write_text(
            text.replace("id: service-errors", f"id: book-{name}").replace("== 'ServiceErrors'", "== 'Both'")
        )
    site.receive(alert(alertname="Both"))
    [page] = site.entries("alert.paged")
    assert "2 runbooks serve this alert (book-one, book-two)" in page.summary
    assert site.jobs() == []


def test_the_most_specific_of_several_runbooks_is_chosen(site: Site) -> None:
    book = site.home.folder / "runbooks" / "narrow" / "runbook.yml"
    book.parent.mkdir()
    text = (Path(__file__).parents[3] / "runbooks" / "service-errors" / "runbook.yml").read_text()
    narrow = "labels.alertname == 'ServiceErrors' && labels.service == 'hello'"
    book.write_text(
        text.replace("id: service-errors", "id: narrow").replace("labels.alertname == 'ServiceErrors'", narrow)
    )
    site.receive(alert(), alert(service="other"))
    assert {job.service: job.runbook for job in site.jobs()} == {"hello": "narrow", "other": "service-errors"}


def test_an_alert_that_cannot_be_used_is_refused_with_its_reason_and_stops_no_other(site: Site) -> None:
    receipt = site.receive(alert(service="nowhere"), alert(severity="purple"), {"status": "odd"}, alert())
    assert receipt.outcomes == {"refused": 3, "started": 1}
    reasons = " ".join(row.reason for row in site.rows() if row.outcome == "refused")
    assert all(words in reasons for words in ("nowhere", "purple", "not an alert: status"))
    site.receive(alert(service="nowhere"), {"status": "odd"})
    assert (len(site.entries("alert.refused")), site.totals().lost) == (1, 0)


def test_production_is_started_by_a_person_unless_the_policy_says_otherwise(tmp_path: Path, ledger_url: str) -> None:
    site = Site(tmp_path / "a", ledger_url)
    receipt = site.receive(alert(environment="production"), alert(environment="production", pod="b"))
    assert receipt.outcomes == {"paged": 1, "joined": 1} and site.jobs() == []
    [entry] = site.entries("alert.received")
    assert f"responder run service-errors --incident {receipt.incidents[0]} --confirm-production" in entry.summary
    site.receive(alert(environment="production"))
    assert Counter(row.outcome for row in site.rows()) == {"paged": 1, "joined": 1}


def test_production_that_the_policy_confirms_is_confirmed_in_the_job(tmp_path: Path) -> None:
    site = Site(tmp_path, f"sqlite:///{tmp_path}/state/ledger.db", production=True)
    site.receive(alert(environment="production"), alert())
    assert {job.environment: job.confirmed for job in site.jobs()} == {"production": True, "dev": False}


def test_an_ignored_alert_names_its_rule_and_a_heartbeat_beats(tmp_path: Path, ledger_url: str) -> None:
    site = Site(
        tmp_path, ledger_url, ignore=[{"name": "quiet", "when": "labels.severity == 'none'"}, {"name": "odd", "when": "length(`5`)"}],
        heartbeats=[{"name": "watchdog", "when": "labels.alertname == 'Watchdog'"}],
    )  # fmt: skip
    site.receive(alert(severity="none"), alert(alertname="Watchdog", severity="none"), alert())
    assert {row.reason for row in site.rows() if row.outcome == "ignored"} == {
        "rule quiet",
        "rule watchdog: a heartbeat",
    }
    site.seconds += 60
    site.receive(alert(alertname="Watchdog", severity="none"))
    with site.ledger.transaction(reading=True) as connection:
        [row] = connection.execute(heartbeats_table.select())
        assert row.last_at == pytest.approx(site.ledger.now(connection), abs=5)


def test_two_services_and_two_classes_are_jobs_of_their_own(site: Site) -> None:
    receipt = site.receive(alert(), alert(service="other"))
    assert receipt.outcomes == {"started": 2} and len(receipt.incidents) == 2


def test_a_more_severe_alert_raises_the_incident_and_its_waiting_job(site: Site) -> None:
    site.receive(alert())
    site.receive(alert(severity="critical", pod="b"))
    [job] = site.jobs()
    assert job.severity == "SEV1"


def test_a_storm_of_many_repeats_writes_no_more_rows_and_entries(site: Site) -> None:
    storm = [alert(pod=f"p{number}") for number in range(300)]
    site.receive(*storm)
    with site.ledger.transaction(reading=True) as connection:
        before = audit.last(connection)
    site.receive(*storm, truncatedAlerts=3)
    with site.ledger.transaction(reading=True) as connection:
        assert audit.last(connection) == before
    totals = site.totals()
    assert (totals.received, totals.repeated, totals.lost) == (600, 300, 0)
    assert totals.ended == {"started": 1, "joined": 299}


def test_hostile_text_stays_text(site: Site) -> None:
    text = "{{ lookup('pipe', 'touch /tmp/x') }} \u202e\x07'; DROP TABLE alerts; --" + "x" * 5000
    hostile = alert(pod=text)
    hostile["annotations"] = {"summary": text, "description": text}
    site.receive(hostile, alert(service=text), alert(severity=text), alert(alertname=text))
    for row in site.rows():
        assert all(part.isprintable() for part in (row.alert, row.title, row.reason))
        assert len(row.alert) < 2000 and len(row.title) < 300 and len(row.reason) <= 500
    assert site.totals().lost == 0


def test_a_ledger_that_says_another_sum_shows_what_was_lost(site: Site) -> None:
    site.receive(alert(), alert(pod="b"))
    with site.ledger.transaction() as connection:
        alerts.count(connection, 1.0, alerts.RECEIVED, 1)
    assert site.totals().lost == 1


def test_the_table_of_receipts_is_json(site: Site) -> None:
    assert json.loads(json.dumps(site.receive(alert()).as_dict())) == {
        "received": 1, "repeated": 0, "started": 1, "incidents": ["INC-00001"],
    }  # fmt: skip


def test_a_person_who_closed_the_incident_by_hand_is_not_overruled_at_once(site: Site) -> None:
    site.receive(alert())
    site.finish(1, closed=False)
    with site.ledger.transaction() as connection:
        connection.execute(update(incidents_table).values(status="closed"))
        assert connection.execute(jobs_table.select()).all()
    assert site.receive(alert()).outcomes == {}


SUNDAYS = {
    "name": "sundays", "when": "labels.service == 'hello'", "starts": "2027-01-10 07:00", "minutes": 120,
    "repeats": "FREQ=WEEKLY;BYDAY=SU",
}  # fmt: skip


@pytest.fixture
def maintained(tmp_path: Path) -> Site:
    """A site of whose services one is maintained on Sundays from 7 to 9, and it is one of them, at 8."""
    site = Site(tmp_path, f"sqlite:///{tmp_path}/state/ledger.db", maintenance=[SUNDAYS])
    site.seconds = 1_800_172_800.0
    return site


def test_in_a_maintenance_window_an_alert_starts_nothing_and_others_do(maintained: Site) -> None:
    receipt = maintained.receive(alert(), alert(service="other"))
    assert receipt.outcomes == Counter(ignored=1, started=1)
    assert {row.alert.partition("service=")[2].partition(",")[0]: row.reason for row in maintained.rows()}[
        "hello"
    ] == "maintenance sundays"


def test_an_alert_that_is_reported_again_after_the_window_starts_its_run(maintained: Site) -> None:
    maintained.receive(alert())
    maintained.seconds += 3600
    assert maintained.receive(alert()).outcomes == Counter(started=1)


def test_what_still_fires_at_the_end_of_the_window_pages_once(maintained: Site) -> None:
    maintained.receive(alert(), alert(pod="p1"), alert(pod="p2"), alert(pod="p3"))
    maintained.receive(alert(status="resolved", end="11:00", pod="p3"))
    for _ in range(2):
        with maintained.ledger.transaction() as connection:
            alerts.page_left_over(connection, maintained.seconds, "maintenance sundays")
    [page] = maintained.entries("alert.paged")
    assert page.data["alerts"] == 3 and "still fired at the end of maintenance sundays" in page.summary
    assert maintained.totals().ended == {"paged": 3, "ignored": 1} and maintained.totals().lost == 0
