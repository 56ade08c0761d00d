"""Three workers on one ledger, each killed with -9 in between, and some of their runs: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import alerting, size
from support.alerting import alert, webhook
from support.serving import RESPONDER, all_jobs, end_workers, until

from sre_responder.home import Home
from sre_responder.intake.receive import receive
from sre_responder.intake.sources import parse
from sre_responder.ledger import Ledger, alerts, audit

pytestmark = [pytest.mark.slow, pytest.mark.contract]
INCIDENTS = int(os.environ.get("RESPONDER_TEST_INCIDENTS", size.of(3, 8)))


@pytest.fixture
def home(tmp_path: Path, ledger_url: str) -> Iterator[Home]:
    """A home with as many services as there will be incidents."""
    made = alerting.home(tmp_path, ledger_url)
    first = next(yaml.safe_load_all((made.folder / "catalogue.yml").read_text()))
    metadata = first["metadata"]
    services = [{**first, "metadata": {**metadata, "name": f"service-{number}"}} for number in range(INCIDENTS)]
    (made.folder / "catalogue.yml").write_text(yaml.safe_dump_all(services))
    yield made
    end_workers(ledger_url)


def test_three_workers_run_every_job_once_whoever_of_them_is_killed(home: Home, tmp_path: Path) -> None:
    ledger, chance = Ledger(home.ledger_url), random.Random(7)
    environ = {"HOME": str(tmp_path), "RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url}

    def worker() -> subprocess.Popen[bytes]:
        with open(tmp_path / "workers.log", "ab") as log:
            return subprocess.Popen(
                [str(RESPONDER), "worker"], env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    workers = [worker() for _ in range(3)]
    for number in range(INCIDENTS):
        receipt = receive(home, ledger, parse(webhook(alert(service=f"service-{number}"))), "am")
        assert receipt.outcomes == Counter(started=1)
    killed = set[int]()

    def running() -> list[Any]:
        return [job for job in all_jobs(ledger) if job.holder and not job.ended_at and job.id not in killed]

    for index in range(3):
        until(running, f"a run is at work: {(tmp_path / 'workers.log').read_text()}")
        time.sleep(chance.uniform(0, 1))
        for job in running()[:1]:
            killed.add(job.id)
            with suppress(ProcessLookupError):  # it was faster
                os.kill(json.loads(job.holder)["pid"], signal.SIGKILL)
        workers[index].kill()
        workers[index].wait()
        workers[index] = worker()
    until(lambda: all(job.ended_at for job in all_jobs(ledger)), "every job ends", 60 + 20 * INCIDENTS)

    with ledger.transaction(reading=True) as connection:
        runs = Counter(entry.incident for entry in audit.entries(connection, type="run.started"))
        assert alerts.totals(connection).lost == 0
    jobs = all_jobs(ledger)
    assert len(jobs) == len({job.incident for job in jobs}) == INCIDENTS
    ran = {job.id: (job.tries, runs[job.incident]) for job in jobs}
    assert {id: ran[id] for id in ran.keys() - killed} == dict.fromkeys(ran.keys() - killed, (1, 1))
    # One that is killed before its first word on the record has not begun a run.
    assert all(1 <= times <= tries <= 2 for tries, times in (ran[id] for id in killed))
    for process in workers:
        process.terminate()
        assert process.wait(60) == 0
