"""The health of a service by its runbook's criterion: measured, and put on the record that resets counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sre_responder.engine.baseline import baselines
from sre_responder.engine.remember import remember
from sre_responder.evidence.looks import by_look, probe
from sre_responder.evidence.verdict import State, Take, Verdict, healthy_now, watch
from sre_responder.guard.picture import symptom
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.model.criterion import Criterion


@dataclass(frozen=True)
class Health:
    """One service under one runbook. It goes on the record, which resets counts, only by the criterion of a registered runbook,
    and without `record` not at all: a dry run, or a task that the runbook does not declare."""

    home: Home
    ledger: Ledger
    runbook: Runbook
    service: str
    environment: str
    record: bool = True
    incident: str = ""
    """Whose baseline counts."""

    def now(self) -> Verdict:
        """Healthy, unhealthy or unknown at this moment."""
        return self._measure(lambda take: healthy_now(self._criterion, take, time.monotonic, time.sleep), "healthy")

    def after(self, interrupted: Callable[[], bool]) -> Verdict:
        """Improved, not improved or unknown after an action."""
        worse = self.home.policy.rollbacks.worse
        return self._measure(
            lambda take: watch(self._criterion, take, time.monotonic, time.sleep, interrupted, worse),
            "improved",
            time.monotonic(),
        )

    def lately(self, incident: str, run: str) -> Verdict | None:
        """Healthy if the same run measured so no longer ago than a window lasts: after one rung helped, the others need not."""
        with self.ledger.transaction(reading=True) as connection:
            now = self.ledger.now(connection)
            recent = list(audit.entries(connection, incident=incident, since=now - self._criterion.hold_s))
        of_symptom = [one for one in recent if (one.data.get("sampled") or {}).get("symptom") == self._symptom]
        if not of_symptom or (last := of_symptom[-1]).data.get("run") != run:
            return None
        ago = now - last.seconds
        if last.data["sampled"]["state"] not in ("healthy", "improved") or ago >= self._criterion.hold_s:
            return None
        return Verdict("healthy", f"measured healthy {ago:.1f} s ago", ())

    def facts(self, verdict: Verdict) -> dict[str, Any] | None:
        """What the record keeps of a verdict; nothing where nothing was sampled."""
        if not verdict.samples:
            return None
        return {
            "symptom": self._symptom,
            "state": verdict.state,
            **verdict.counts._asdict(),
            "looks": by_look(verdict.samples),
        }

    @property
    def _criterion(self) -> Criterion:
        return self.runbook.metadata.success

    @property
    def _symptom(self) -> str:
        return symptom(self.environment, self.service, self.runbook.metadata.failure_class)

    def _measure(self, judge: Callable[[Take], Verdict], good: State, acted_at: float | None = None) -> Verdict:
        take = self._probe(acted_at)
        if isinstance(take, str):
            return Verdict("unknown", take, ())
        verdict = judge(take)
        if self.record and self.runbook.registered and verdict.state == good:
            remember(self.ledger, self.home.catalogue.service(self.service), self.environment)
        if self.record and self.runbook.registered and verdict.state != "unknown":
            held = 0.0 if verdict.since is None else time.monotonic() - verdict.since
            with self.ledger.transaction() as connection:
                now = self.ledger.now(connection)  # a clock of its own, so only spans are carried over to it
                incidents.observe(
                    connection, now, self._symptom, verdict.state == good, self.home.policy.loop.healthy_seconds,
                    began=now - held,
                )  # fmt: skip
        return verdict

    def _probe(self, acted_at: float | None) -> Take | str:
        """What takes a sample, or why nothing can; `acted_at` is when an action ended, by the monotonic clock."""
        place = replace(self.home.place(self.service, self.environment), acted_at=acted_at)
        known = baselines(self.ledger, self.incident, self._criterion, place, record=self.record)
        return probe(self._criterion, replace(place, baselines=known))
