"""One payload into the ledger, in one transaction: each alert with what became of it, incidents, the queue, pages."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sre_responder.home import Home
from sre_responder.home.serving import Serve
from sre_responder.intake.alert import Alert, Webhook, named
from sre_responder.intake.episodes import Span, follow
from sre_responder.intake.groups import Group, Meaning
from sre_responder.intake.verdict import Verdict, judging
from sre_responder.ledger import Ledger, alerts, audit, clock, heartbeats, incidents, jobs
from sre_responder.ledger.alerts import Episode
from sre_responder.model.names import shown

ACTED = ("started", "joined")
"""Outcomes of an alert for which something runs or ran."""
_PAGES = 10
"""So many reasons of one payload page one by one; the rest is one page more."""


@dataclass(frozen=True)
class Receipt:
    """What became of a payload, as its sender is told."""

    received: int
    outcomes: Counter[str]
    """Of the alerts that were new, or for which something changed."""
    incidents: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        repeated = self.received - self.outcomes.total()
        return {"received": self.received, "repeated": repeated, **self.outcomes, "incidents": list(self.incidents)}


def receive(home: Home, ledger: Ledger, webhook: Webhook, sender: str) -> Receipt:
    """Commit a payload. LedgerUnavailable, and nothing is done, where that cannot be; InputError if the home cannot be read."""
    fingerprints = {alert.fingerprint for alert in webhook.alerts.values()}
    with ledger.transaction(reading=True) as connection:
        judge = judging(home, ledger.now(connection))
        acted = {one.fingerprint for one in alerts.latest(connection, fingerprints).values() if one.outcome in ACTED}
    # Judged before the transaction that excludes every other: it takes a while, and most reports are of what is known.
    judged = {n: judge(n, alert) for n, alert in webhook.alerts.items() if alert.fingerprint not in acted}
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        known = alerts.latest(connection, fingerprints)
        intake = _Intake(connection, now, home.policy.serve, webhook, sender, known)
        for position, alert in webhook.alerts.items():
            if episode := intake.take(alert):
                intake.decide(episode, alert, judged.get(position) or judge(position, alert))
        intake.take_others()
        intake.finish()
    return Receipt(
        webhook.received, Counter(one.outcome for one in intake.decided.values()), tuple(sorted(intake.numbers))
    )


@dataclass
class _Intake:
    """The payload that is being committed."""

    connection: Connection
    now: float
    serve: Serve
    webhook: Webhook
    sender: str
    known: dict[str, Episode]
    touched: dict[int, Episode] = field(default_factory=dict)
    """The episodes that the payload reports, each once."""
    decided: dict[int, Episode] = field(default_factory=dict)
    """Those of them for which it was decided what becomes of them."""
    wanted: dict[tuple[str, str, str], list[tuple[Meaning, Episode]]] = field(default_factory=dict)
    """By symptom, the alerts that ask for a run."""
    numbers: set[str] = field(default_factory=set)

    def take(self, alert: Alert) -> Episode | None:
        """One alert: as a new episode, or as one more report of one that is known. Return it if it must be decided on."""
        before = self.known.get(alert.fingerprint)
        span, new = follow(Span(before.starts_at, before.ends_at) if before else None, alert, self.now)
        if before is None or new:
            episode = self._new(alert.fingerprint, named(alert.model_dump()), alert.title, span.starts_at)
        else:
            episode = before
        episode.starts_at, episode.ends_at = span
        self._reported(episode)
        again = alert.status == "firing" and episode.ends_at is None and self._undone(episode)
        return episode if new or again else None

    def decide(self, episode: Episode, alert: Alert, verdict: Verdict) -> None:
        """End it at once, or let it ask for the run of its symptom."""
        if verdict.heartbeat and alert.status == "firing":
            heartbeats.beat(self.connection, self.now, verdict.heartbeat)
        self.decided[id(episode)] = episode
        if verdict.meaning is None:
            episode.outcome, episode.reason = verdict.outcome, verdict.reason
        else:
            self.wanted.setdefault(verdict.meaning.symptom, []).append((verdict.meaning, episode))

    def take_others(self) -> None:
        """What is not an alert, or says nothing about one: it is received too, and must end."""
        for problem in self.webhook.problems:
            self._other(problem.alert, "refused", f"{problem.reason} {problem.cure}".strip())
        for what in self.webhook.ignored:
            self._other(what, "ignored", "rule not-an-alert: it says nothing about an alert")

    def finish(self) -> None:
        """Open, join, queue and page; then write every row, and count what came in apart from them."""
        for pairs in self.wanted.values():
            self._open(Group(tuple(meaning for meaning, _ in pairs)), [episode for _, episode in pairs])
        decided = self.decided.values()
        self._page(one.reason for one in decided if one.outcome == "paged" and one.incident is None)
        self._refuse([one for one in decided if one.outcome == "refused" and one.id is None])
        alerts.write(self.connection, self.touched.values())
        alerts.count(self.connection, self.now, alerts.RECEIVED, self.webhook.received, self.webhook.source)

    def _new(self, fingerprint: str, name: str, title: str, starts_at: float) -> Episode:
        now = self.now
        made = Episode(fingerprint, self.webhook.source, self.sender, name, title, starts_at, now, now, "refused", "")
        self.known[fingerprint] = made
        return made

    def _reported(self, episode: Episode) -> None:
        episode.times, episode.last_at = episode.times + 1, self.now
        self.touched[id(episode)] = episode

    def _other(self, name: str, outcome: str, reason: str) -> None:
        fingerprint = hashlib.sha256(f"{self.sender}\0{name}\0{reason}".encode()).hexdigest()
        episode = self.known.get(fingerprint) or alerts.latest(self.connection, [fingerprint]).get(fingerprint)
        episode = episode or self._new(fingerprint, name, name, self.now)
        self.known[fingerprint] = episode
        episode.outcome, episode.reason = outcome, reason
        self._reported(episode)
        if episode.times == 1:
            self.decided[id(episode)] = episode

    def _undone(self, episode: Episode) -> bool:
        """Whether one more report may change what became of it: nothing was started for it, or that is long over and it still fires."""
        if episode.outcome not in ACTED or episode.incident is None:
            return episode.outcome not in ACTED
        incident = incidents.get(self.connection, episode.incident)
        return incident is not None and incident.status != "open" and self._rested(episode.incident)

    def _rested(self, incident: str) -> bool:
        """Whether the last run of an incident is over for long enough to start another."""
        job = jobs.last(self.connection, incident)
        if job is None:
            return True
        return job.ended_at is not None and job.ended_at <= clock.began(
            self.connection, self.now, self.serve.again_after_minutes * 60
        )

    def _open(self, group: Group, episodes: list[Episode]) -> None:
        """Open or join the incident of one symptom, and ask for its run where none is asked for."""
        worst, began = group.worst, group.started_at
        number, new = incidents.open_(
            self.connection, self.now, service=worst.service, environment=worst.environment, severity=worst.severity,
            title=worst.alert.title, actor="alert", failure_class=worst.runbook.metadata.failure_class,
            started_at=began.timestamp() if began else None,
        )  # fmt: skip
        self.numbers.add(number)
        outcome, reason = self._run(number, worst, new)
        for episode in episodes:
            if (episode.incident, episode.outcome) != (number, "paged"):  # who was called for it stays called
                episode.incident, episode.outcome, episode.reason = number, "joined", f"joined {number}"
        if outcome != "joined":  # by exactly one of them
            episodes[0].outcome, episodes[0].reason = outcome, reason
            left_out = f"; {self.webhook.truncated} more were left out by the sender" if self.webhook.truncated else ""
            audit.append(
                self.connection, self.now, "alert.received", "alert",
                f"{len(episodes)} alert{'' if len(episodes) == 1 else 's'} from {self.sender}{left_out}: {reason}", incident=number,
                notify="on_call" if outcome == "paged" else None, alerts=len(episodes), truncated=self.webhook.truncated,
            )  # fmt: skip

    def _run(self, number: str, worst: Meaning, new: bool) -> tuple[str, str]:
        """Queue the run of an incident, or say why not."""
        name, production = worst.runbook.metadata.id, worst.environment == "production"
        if production and not self.serve.production:
            command = f"responder run {name} --incident {number} --confirm-production"
            return (
                "paged" if new else "joined",
                f"a person starts runs in production (serve.production is false): {command}",
            )
        if not self._rested(number):
            jobs.raise_severity(self.connection, number, worst.severity)
            return "joined", ""
        wanted = jobs.Wanted(number, name, worst.service, worst.environment, worst.severity, confirmed=production)
        job = jobs.put(self.connection, self.now, wanted)
        return "started", f"job {job} runs {name} for {number}"

    def _page(self, reasons: Iterable[str]) -> None:
        """Page for each reason once while it lasts."""
        fresh = [one for one in dict.fromkeys(reasons) if not alerts.paged_already(self.connection, self.now, one)]
        for text in (*fresh[:_PAGES], *_rest(len(fresh) - _PAGES)):
            audit.append(self.connection, self.now, "alert.paged", "alert", text, notify="on_call", sender=self.sender)

    def _refuse(self, refused: list[Episode]) -> None:
        """Put on the record that alerts cannot be used, once each."""
        if refused:
            count = f"{len(refused)} alert{'' if len(refused) == 1 else 's'} of {self.sender} refused"
            first = f"{refused[0].alert}: {refused[0].reason}"
            audit.append(
                self.connection,
                self.now,
                "alert.refused",
                "alert",
                f"{count}, first: {shown(first, 600)}",
                alerts=len(refused),
            )


def _rest(count: int) -> Iterator[str]:
    if count > 0:
        yield f"{count} more alerts have no runbook that was chosen: responder alerts --outcome paged"
