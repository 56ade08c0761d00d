"""What ends a run: an emergency stop, a refusal that was ignored, a rollback that takes too long."""

from __future__ import annotations

import time

from sqlalchemy import Connection

from sre_responder.emergency import stop
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, runs

HALT_GRACE_SECONDS = 5
"""How long a run may go on after a refusal before it counts as ignored, and is ended."""


class Watch:
    """Asked several times a second while a run lives; a word ends it, None lets it go on."""

    def __init__(self, home: Home, ledger: Ledger, run: str, environment: str, service: str) -> None:
        self.home, self.ledger, self.run = home, ledger, run
        self.environment, self.service = environment, service
        self.halted_at: float | None = None
        self.rolling_back: tuple[float, float] | None = None
        """The rollback that is at work by its start, and when it was first seen, which no step of the clock moves."""

    def __call__(self) -> str | None:
        with self.ledger.transaction(reading=True) as connection:
            return self.look(connection)

    def look(self, connection: Connection) -> str | None:
        """The word, from what the caller's transaction sees."""
        policy = self.home.policy
        now, here = self.ledger.now(connection), time.monotonic()
        stops = stop.standing(
            connection, now, policy.stop.file, environment=self.environment, service=self.service, record=False
        )
        row = runs.get(connection, self.run)
        since = attempts.rolling_back_since(connection, self.run)
        if since is None or self.rolling_back is None or self.rolling_back[0] != since:
            self.rolling_back = None if since is None else (since, here)
        if stops:
            return "stopped"
        if self.rolling_back and here - self.rolling_back[1] > policy.rollbacks.deadline_seconds:
            return "deadline"
        if row is None or not row.halted_because:
            return None
        self.halted_at = self.halted_at or here
        return "halted" if here - self.halted_at > HALT_GRACE_SECONDS else None
