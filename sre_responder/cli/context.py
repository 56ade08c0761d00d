"""What commands share: the home and its ledger, opened once, and the clock of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sre_responder import home as homes
from sre_responder.home import Home
from sre_responder.ledger import Ledger, outbox
from sre_responder.notify.deliver import deliver


@dataclass(frozen=True)
class Context:
    home: Home
    ledger: Ledger

    def deliver(self) -> int:
        """Send what waits for people, once the command has said what it did; the number that still waits."""
        return outbox.deliver(self.ledger, self.home.policy.notifications, deliver)


def context() -> Context:
    """The operator's home and its ledger. A missing ledger is told by the first use of it."""
    home = homes.find()
    return Context(home, Ledger(home.ledger_url))
