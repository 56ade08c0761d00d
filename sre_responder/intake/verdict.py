"""What one alert asks for in this home, before anything is looked up in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jmespath

from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.alert_rule import AlertRule
from sre_responder.home.runbook import NotOneRunbook
from sre_responder.intake.alert import Alert
from sre_responder.intake.groups import Meaning, reader
from sre_responder.model.names import shown

Outcome = Literal["started", "joined", "paged", "refused", "ignored"]
"""How every alert ends, in exactly one way."""
_REASON = 500


@dataclass(frozen=True)
class Verdict:
    """Ask for a run by its meaning, or end the alert at once with an outcome and why."""

    meaning: Meaning | None = None
    outcome: Outcome = "refused"
    reason: str = ""
    heartbeat: str | None = None


def judging(home: Home, now: float) -> Callable[[int, Alert], Verdict]:
    """What judges each alert; a home that cannot be read is one InputError here, not one an alert."""
    means, serve = reader(home), home.policy.serve
    maintained = [window for window in serve.maintenance if window.until(now)]

    def verdict(position: int, alert: Alert) -> Verdict:
        for beat in serve.heartbeats:
            if _holds(beat, alert):
                return Verdict(outcome="ignored", reason=f"rule {beat.name}: a heartbeat", heartbeat=beat.name)
        if rule := next((rule for rule in serve.ignore if _holds(rule, alert)), None):
            return Verdict(outcome="ignored", reason=f"rule {rule.name}")
        if alert.status == "resolved":
            return Verdict(outcome="ignored", reason="rule resolved: it was over before it was seen to fire")
        if window := next((window for window in maintained if _holds(window, alert)), None):
            return Verdict(outcome="ignored", reason=window.reason)
        try:
            return Verdict(means(position, alert))
        except NotOneRunbook as error:
            return Verdict(outcome="paged", reason=_page(alert, error))
        except InputError as error:
            return Verdict(reason=str(error)[:_REASON])

    return verdict


def _page(alert: Alert, error: NotOneRunbook) -> str:
    """What a person who must choose the runbook has to know."""
    service, environment, severity = (error.details[key] for key in ("service", "environment", "severity"))
    name = shown(alert.labels.get("alertname", "an alert without a name"), 60)
    return (
        f"{name}: {error.message} Open an incident and choose: responder incident open --service {service} --environment"
        f" {environment} --severity {severity}; responder run RUNBOOK --incident INC-..."
    )[:_REASON]


def _holds(rule: AlertRule, alert: Alert) -> bool:
    """Whether a rule is about this alert; one whose expression breaks on it is not."""
    try:
        return jmespath.search(rule.when, alert.as_jmespath()) is True
    except jmespath.exceptions.JMESPathError:
        return False
