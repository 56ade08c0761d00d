"""What a server does beside receiving: nothing that goes wrong there ends it, and nothing that waits is forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from support import alerting
from support.alerting import alert, webhook

from sre_responder.home import Home
from sre_responder.intake.dispatch import Dispatcher
from sre_responder.intake.homes import Homes
from sre_responder.intake.receive import receive
from sre_responder.intake.sources import parse
from sre_responder.ledger import Ledger, audit, heartbeats, jobs


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with one job that waits, and a heartbeat of which nothing was seen."""
    beats = [{"name": "watchdog", "when": "labels.alertname == 'Watchdog'"}]
    here = alerting.home(tmp_path, f"sqlite:///{tmp_path}/state/ledger.db", heartbeats=beats)
    receive(here, Ledger(here.ledger_url), parse(webhook(alert())), "am")
    return here


def ending(_: Home, __: int) -> subprocess.Popen[bytes]:
    """A process that fails before it claims its job."""
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    child.wait()
    return child


def test_a_process_that_never_gets_to_its_job_calls_a_person_after_three_times(home: Home) -> None:
    ledger = Ledger(home.ledger_url)
    dispatcher = Dispatcher(Homes(lambda: home), ledger, start=ending, flush=lambda: None, say=print)
    for _ in range(6):
        dispatcher.tick()
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="job.given_up")
        assert "ends with 7 before it begins" in entry.summary and jobs.open_now(connection) == []


def test_an_error_is_said_once_and_the_job_is_started_when_it_is_over(home: Home) -> None:
    said, started, full = list[str](), threading.Event(), [True, True, False]

    def start(here: Home, job: int) -> subprocess.Popen[bytes]:
        if full.pop(0):
            raise OSError(28, "No space left on device")
        started.set()
        return ending(here, job)

    dispatcher = Dispatcher(
        Homes(lambda: home), Ledger(home.ledger_url), start=start, flush=lambda: None, say=said.append
    )
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        assert started.wait(30)
    finally:
        dispatcher.stopping.set()
        dispatcher.wake.set()
        thread.join()
    assert said[0] == "Nothing can be started now: [Errno 28] No space left on device"
    assert said.count(said[0]) == 1


def test_a_heartbeat_is_expected_from_the_first_look_on(home: Home) -> None:
    ledger = Ledger(home.ledger_url)
    dispatcher = Dispatcher(Homes(lambda: home), ledger, start=ending, flush=lambda: None, say=print)
    dispatcher.tick()
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
        beats = {"watchdog": 0.0}
        assert heartbeats.unknown(connection, beats) == set()
        assert heartbeats.late(connection, now + 1, beats) == ["watchdog"]


def test_the_end_of_a_maintenance_window_is_seen_although_nothing_arrives(tmp_path: Path) -> None:
    window = {"name": "sundays", "when": "`true`", "starts": "2027-01-17 07:00", "minutes": 120}
    url, now = f"sqlite:///{tmp_path}/state/ledger.db", [1_800_172_800.0]
    home = alerting.home(tmp_path, url, maintenance=[window])
    ledger = Ledger(url, clock=lambda: now[0], boot=lambda: ("boot", now[0]))
    dispatcher = Dispatcher(Homes(lambda: home), ledger, start=ending, flush=lambda: None, say=print)
    receive(home, ledger, parse(webhook(alert())), "am")
    paged = []
    for _ in range(3):
        dispatcher.tick()
        with ledger.transaction(reading=True) as connection:
            paged.append(len(list(audit.entries(connection, type="alert.paged"))))
        now[0] += 3000
    assert paged == [0, 0, 1]


@pytest.mark.parametrize(("labels", "started"), [({""}, [1]), ({"dmz"}, [2]), ({"dmz", ""}, [1, 2]), ({"lan"}, [])])
def test_a_worker_takes_the_services_of_its_labels(tmp_path: Path, labels: set[str], started: list[int]) -> None:
    home = alerting.home(tmp_path, f"sqlite:///{tmp_path}/state/ledger.db")
    catalogue = home.folder / "catalogue.yml"
    hello, other = yaml.safe_load_all(catalogue.read_text())
    other["metadata"]["annotations"]["dev.responder/worker"] = "dmz"
    catalogue.write_text(yaml.safe_dump_all([hello, other]))
    ledger, found = Ledger(home.ledger_url), list[int]()
    receive(home, ledger, parse(webhook(alert())), "am")
    receive(home, ledger, parse(webhook(alert(service="other"))), "am")

    def start(here: Home, job: int) -> subprocess.Popen[bytes]:
        found.append(job)
        return ending(here, job)

    dispatcher = Dispatcher(Homes(lambda: home), ledger, start, lambda: None, print, labels=frozenset(labels))
    dispatcher.tick()
    assert found == started
