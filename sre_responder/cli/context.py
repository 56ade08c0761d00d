"""What commands share: the home and its ledger, opened once, and the clock of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sre_responder import home as homes
from sre_responder.home import Home
from sre_responder.ledger import Ledger


@dataclass(frozen=True)
class Context:
    home: Home
    ledger: Ledger


def context() -> Context:
    """The operator's home and its ledger. A missing ledger is told by the first use of it."""
    home = homes.find()
    return Context(home, Ledger(home.ledger_url))
