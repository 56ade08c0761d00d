"""What server and worker do beside: they start runs, settle those that died, resume what was approved, and page for what is late."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row

from sre_responder.errors import ResponderError
from sre_responder.home import Home
from sre_responder.home.annotations import WORKER
from sre_responder.intake.homes import Homes
from sre_responder.ledger import Ledger, alerts, heartbeats, jobs

_TICK_SECONDS = 1.0
_WITHOUT_CLAIM = 3
"""A process that ends so often without having claimed its job does not work here: a person is called."""


def label(home: Home, job: Row[Any]) -> str:
    """The label of the workers that take a job, as the catalogue has it; empty where any machine without labels does."""
    found = home.catalogue.services.get(job.service)
    return found.reached(job.environment).get(WORKER, "") if found else ""


@dataclass
class Dispatcher:
    """One thread of a server or worker. `start` starts the process of a job; `say` tells the person who watches.

    It takes the jobs of services whose label is among `labels`.
    """

    homes: Homes
    ledger: Ledger
    start: Callable[[Home, int], subprocess.Popen[bytes]]
    flush: Callable[[], None]
    say: Callable[[str], None]
    labels: frozenset[str] = frozenset({""})
    wake: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)
    told: str = ""

    def run(self) -> None:
        """Until `stopping` is set. What cannot be done now is said once, and tried again."""
        while not self.stopping.is_set():
            try:
                with self.ledger.kept_open():
                    while not self.stopping.is_set():
                        self.tick()
                        self.told = ""
                        self.wake.wait(_TICK_SECONDS)
                        self.wake.clear()
            except Exception as error:  # whatever it is: without this thread alerts would be taken, and nothing run
                if str(error) != self.told:
                    self.say(f"Nothing can be started now: {error}")
                self.told = str(error)
                self.stopping.wait(_TICK_SECONDS)
        with suppress(ResponderError):  # what was turned away is not worth an end with an error
            self.flush()

    def tick(self) -> None:
        """Look once, and do what is due. Most looks only read."""
        home = self.homes.now()
        serve = home.policy.serve
        beats = {one.name: one.every_minutes for one in serve.heartbeats}
        self.flush()
        with self.ledger.transaction(reading=True) as connection:
            now = self.ledger.now(connection)
            queue = jobs.dead(connection, now) or jobs.approved(connection, now) or jobs.overdue(connection, now)
            over = [one.reason for one in serve.maintenance if not one.until(now)]
            due = (
                queue
                or alerts.left_over(connection, now, over)
                or heartbeats.unknown(connection, beats)
                or heartbeats.late(connection, now, beats)
            )
        ended = self._ended()
        if due or ended:
            with self.ledger.transaction() as connection:
                now = self.ledger.now(connection)
                jobs.settle(connection, now)
                jobs.resume(connection, now)
                heartbeats.expect(connection, now, beats)
                heartbeats.page(connection, now, beats)
                for reason in over:
                    alerts.page_left_over(connection, now, reason)
                self._without_claim(connection, now, ended)
                jobs.page_overdue(connection, now, partial(label, home))
        with self.ledger.transaction(reading=True) as connection:
            ready = jobs.ready(connection, serve.parallel_runs, lambda job: label(home, job) in self.labels)
        for row in ready:
            if row.id not in self.children:
                self.children[row.id] = self.start(home, row.id)

    def _ended(self) -> dict[int, int]:
        """The jobs whose process of ours has ended by now, with its exit code."""
        ended = {id: code for id, child in self.children.items() if (code := child.poll()) is not None}
        for id in ended:
            del self.children[id]
        return ended

    def _without_claim(self, connection: Connection, now: float, ended: Mapping[int, int]) -> None:
        """Give up the jobs whose process failed again and again before it began."""
        for id, code in ended.items():
            row = jobs.get(connection, id)
            if code == 0 or row is None or row.ended_at is not None or row.tries:
                self.failed.pop(id, None)
                continue
            self.failed[id] = self.failed.get(id, 0) + 1
            if self.failed[id] >= _WITHOUT_CLAIM:
                jobs.give_up(connection, now, row, f"its process ends with {code} before it begins")
