"""What runs beside a server or a worker: the dispatcher, the delivery of messages, and the process of each job."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sre_responder.cli.output import say
from sre_responder.engine import paging
from sre_responder.home import Home
from sre_responder.intake.dispatch import Dispatcher
from sre_responder.ledger import outbox
from sre_responder.notify.deliver import deliver

_DELIVER_SECONDS, _FOLLOW_SECONDS = 5, 30
"""Whoever leaves a message delivers it; what is still here after this long is delivered from here."""


@contextmanager
def dispatching(dispatcher: Dispatcher) -> Iterator[None]:
    """Dispatch and deliver within it; at its end runs go on, and are named."""
    thread = threading.Thread(target=dispatcher.run, name="dispatch")
    threading.Thread(target=_deliver, args=(dispatcher,), name="deliver", daemon=True).start()
    thread.start()
    try:
        yield
    finally:
        dispatcher.stopping.set()
        dispatcher.wake.set()
        thread.join()
    left = [str(id) for id, child in dispatcher.children.items() if child.poll() is None]
    say(f"Stopped. Jobs of this process that are still running: {', '.join(left) or 'none'}.")


def start_job(home: Home, job: int) -> subprocess.Popen[bytes]:
    """The process of a job: in a session of its own, so that it outlives the server; what it says is in a file."""
    folder = home.state / "jobs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / f"{job}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sre_responder.cli", "work", str(job)], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "RESPONDER_HOME": str(home.folder), "RESPONDER_LEDGER": home.ledger_url},
        )  # fmt: skip


def _deliver(dispatcher: Dispatcher) -> None:
    """Deliver what nobody else has delivered, and follow what was paged."""
    ledger, told, followed, unread = dispatcher.ledger, "", time.monotonic(), list[str]()
    while not dispatcher.stopping.wait(1):
        try:
            if time.monotonic() - followed >= _FOLLOW_SECONDS:
                before, unread = unread, paging.follow(dispatcher.homes.now(), ledger)
                for problem in [one for one in unread if one not in before]:
                    say(problem)
                followed = time.monotonic()
            if outbox.overdue(ledger, _DELIVER_SECONDS):
                outbox.deliver(ledger, dispatcher.homes.now().policy.notifications, deliver)
            told = ""
        except Exception as error:  # a message that cannot be delivered now is delivered later
            if str(error) != told:
                say(f"Messages cannot be delivered now: {error}")
            told = str(error)
