"""The ledger: incidents, plans, approvals, attempts, leases, stops, runs, outbox, and the hash-chained audit."""

from __future__ import annotations

from sre_responder.ledger.connection import Ledger

__all__ = ["Ledger"]
