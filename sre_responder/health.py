"""The health of a service by its runbook's criterion: measured, and put on the record that resets counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sre_responder.actions import KUBERNETES
from sre_responder.evidence import http, kubernetes
from sre_responder.evidence.http import Sample
from sre_responder.evidence.verdict import Verdict, healthy_now, watch
from sre_responder.guard.decide import symptom
from sre_responder.home import Home
from sre_responder.ledger import Ledger, incidents
from sre_responder.runbook import Runbook


@dataclass(frozen=True)
class Health:
    """One service under one runbook; without `record` nothing is written, as in a dry run."""

    home: Home
    ledger: Ledger
    runbook: Runbook
    service: str
    environment: str
    record: bool = True

    def now(self) -> Verdict:
        """Healthy, unhealthy or unknown at this moment."""
        return self._measure(
            lambda take: healthy_now(self.runbook.metadata.success, take, time.time, time.sleep), "healthy", "unhealthy"
        )

    def after(self, interrupted: Callable[[], bool]) -> Verdict:
        """Improved, not improved or unknown after an action."""
        return self._measure(
            lambda take: watch(self.runbook.metadata.success, take, time.time, time.sleep, interrupted),
            "improved",
            "not_improved",
        )

    def _measure(self, judge: Callable[[Callable[[], Sample]], Verdict], good: str, bad: str) -> Verdict:
        take = self._probe()
        if take is None:
            return Verdict("unknown", "no probe: neither success.url nor the annotation responder/probe-url is set", ())
        verdict = judge(take)
        if self.record and verdict.state in (good, bad):
            name = symptom(self.environment, self.service, self.runbook.metadata.failure_class)
            good_for = time.time() - verdict.good_since if verdict.good_since else 0.0
            with self.ledger.transaction() as connection:
                now = self.ledger.now(connection)  # a clock of its own, so only spans are carried over to it
                incidents.observe(
                    connection, now, name, verdict.state == good, self.home.policy.loop.healthy_seconds,
                    began=now - max(0.0, good_for),
                )  # fmt: skip
        return verdict

    def _probe(self) -> Callable[[], Sample] | None:
        criterion, annotations = self.runbook.metadata.success, self.home.catalogue.service(self.service).annotations
        if criterion.source == "kubernetes":
            where = {name: annotations[key] for name, key in KUBERNETES.items() if key in annotations}
            return lambda: kubernetes.sample(criterion, where)
        url = criterion.url or annotations.get("responder/probe-url")
        return None if url is None else lambda: http.sample(criterion, url)
