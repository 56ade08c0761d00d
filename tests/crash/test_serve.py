"""kill -9 of servers and runs: every alert that was answered is on the record, and nothing is acted on twice."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import alerting
from support.alerting import alert, webhook
from support.serving import Server, all_jobs, end_workers, until

from sre_responder.home import Home
from sre_responder.ledger import Ledger, alerts, audit

pytestmark = [pytest.mark.slow, pytest.mark.contract]


@pytest.fixture
def home(tmp_path: Path, ledger_url: str) -> Iterator[Home]:
    yield alerting.home(tmp_path, ledger_url)
    end_workers(ledger_url)


Serve = Callable[[], Server]


@pytest.fixture
def serve(home: Home, tmp_path: Path) -> Iterator[Serve]:
    started: list[Server] = []

    def start() -> Server:
        environ = {"HOME": str(tmp_path), "RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url}
        started.append(Server(environ, tmp_path))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        if one.process is not None and one.process.poll() is None:
            one.end(signal.SIGKILL)


def names(ledger: Ledger) -> set[str]:
    with ledger.transaction(reading=True) as connection:
        return {row.alert for row in alerts.recent(connection, 10_000)}


def lost(ledger: Ledger) -> int:
    with ledger.transaction(reading=True) as connection:
        return alerts.totals(connection).lost


def entries(ledger: Ledger, type: str) -> list[Any]:
    with ledger.transaction(reading=True) as connection:
        return list(audit.entries(connection, type=type))


def test_a_server_that_is_killed_again_and_again_loses_no_alert_that_it_answered(home: Home, serve: Serve) -> None:
    server, answered, over = serve(), list[str](), threading.Event()

    def send() -> None:
        number = 0
        while not over.is_set():
            number += 1
            with suppress(httpx.HTTPError):
                if server.post(webhook(alert(service="nowhere", pod=f"p{number}"))).status_code == 200:
                    answered.append(f"pod=p{number}")

    sender = threading.Thread(target=send)
    sender.start()
    chance = random.Random(7)
    for _ in range(4):
        time.sleep(chance.uniform(0.2, 1.0))
        server.end(signal.SIGKILL)
        server.start()
    until(lambda: len(answered) > 20, "enough alerts were answered")
    over.set()
    sender.join()
    ledger = Ledger(home.ledger_url)
    written = " ".join(f"{name}," for name in names(ledger))
    assert [name for name in answered if f"{name}," not in written] == []
    assert lost(ledger) == 0


def test_two_servers_that_are_killed_start_one_run_for_one_cause(home: Home, serve: Serve) -> None:
    ledger, servers = Ledger(home.ledger_url), [serve(), serve()]
    group = webhook(*(alert(pod=f"p{number}") for number in range(20)))
    threads = [threading.Thread(target=server.post, args=(group,)) for server in servers for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    servers[0].end(signal.SIGKILL)
    until(lambda: all_jobs(ledger)[0].ended_at, f"the run ends: {servers[1].said()}", 120)
    [job] = all_jobs(ledger)
    assert (job.tries, len(entries(ledger, "run.started")), lost(ledger)) == (1, 1, 0)


def test_a_run_outlives_its_server_and_is_not_started_again(home: Home, serve: Serve) -> None:
    ledger, server = Ledger(home.ledger_url), serve()
    assert server.post(webhook(alert())).json()["started"] == 1
    until(lambda: all_jobs(ledger)[0].holder, "the run began")
    server.end(signal.SIGKILL)
    server.start()
    until(lambda: all_jobs(ledger)[0].ended_at, "the run ends", 120)
    assert len(entries(ledger, "run.started")) == 1


def test_a_run_that_is_killed_is_settled_and_tried_again(home: Home, serve: Serve) -> None:
    ledger, server = Ledger(home.ledger_url), serve()
    server.post(webhook(alert()))
    until(lambda: entries(ledger, "run.started"), "the run began")
    os.kill(json.loads(all_jobs(ledger)[0].holder)["pid"], signal.SIGKILL)
    until(lambda: entries(ledger, "job.requeued"), "its death was noticed")
    until(lambda: all_jobs(ledger)[0].ended_at, "the second run ends", 120)
    [job] = all_jobs(ledger)
    assert (job.tries, len(entries(ledger, "run.started"))) == (2, 2)


def test_sigterm_lets_the_run_go_on_and_says_so(home: Home, serve: Serve) -> None:
    ledger, server = Ledger(home.ledger_url), serve()
    server.post(webhook(alert()))
    until(lambda: all_jobs(ledger)[0].holder, "the run began")
    assert server.end(signal.SIGTERM) == 0
    assert "Jobs of this process that are still running: 1." in server.said()
    until(lambda: all_jobs(ledger)[0].ended_at, "the run ends", 120)
    assert len(entries(ledger, "run.started")) == 1
