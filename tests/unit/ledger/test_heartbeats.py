"""A heartbeat that stops arriving pages once, and says when it is back."""

from __future__ import annotations

from pathlib import Path

from support import ledgers

from sre_responder.ledger import Ledger, audit, heartbeats

MINUTES = {"watchdog": 10.0}


def test_a_heartbeat_that_stops_pages_once_and_its_return_is_told(tmp_path: Path) -> None:
    clock = [1_800_000_000.0]
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: clock[0], boot=lambda: ("boot", clock[0]))
    with ledgers.make(ledger).transaction() as connection:

        def missed(seconds: float) -> int:
            clock[0] = 1_800_000_000.0 + seconds
            heartbeats.page(connection, ledger.now(connection), MINUTES)
            return len(list(audit.entries(connection, type="heartbeat.missed")))

        heartbeats.expect(connection, ledger.now(connection), MINUTES)
        assert missed(300) == 0
        heartbeats.expect(connection, ledger.now(connection), MINUTES)  # a server that starts again does not begin anew
        assert [missed(later) for later in (599, 601, 602, 5000)] == [0, 1, 1, 1]
        heartbeats.beat(connection, ledger.now(connection), "watchdog")
        heartbeats.beat(connection, ledger.now(connection), "watchdog")
        assert len(list(audit.entries(connection, type="heartbeat.returned"))) == 1
        assert [missed(later) for later in (5599, 5601)] == [1, 2]


def test_a_heartbeat_that_the_policy_does_not_name_any_more_pages_nobody(ledger_url: str) -> None:
    ledger = ledgers.make(Ledger(ledger_url))
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        heartbeats.beat(connection, now, "old")
        assert heartbeats.late(connection, now + 1e6, {}) == []
