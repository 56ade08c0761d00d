"""From alerts to symptoms: what each alert means here, and which of them are one incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.runbook import NotOneRunbook, Runbook
from sre_responder.intake.alert import Alert, Problem, Webhook, named
from sre_responder.model import names


@dataclass(frozen=True)
class Meaning:
    """What one alert means in this home."""

    position: int
    alert: Alert
    service: str
    environment: str
    severity: str
    runbook: Runbook

    @property
    def symptom(self) -> tuple[str, str, str]:
        """What alerts of one incident share."""
        return self.runbook.metadata.failure_class, self.service, self.environment


@dataclass(frozen=True)
class Group:
    """The firing alerts of one symptom: one incident, one run, as severe as the worst of them."""

    meanings: tuple[Meaning, ...]

    @property
    def worst(self) -> Meaning:
        """Of several equally severe ones the first in the payload."""
        return min(self.meanings, key=lambda one: names.SEVERITIES.index(one.severity))

    @property
    def started_at(self) -> datetime | None:
        """When the first of them began, as far as that is known."""
        return min((one.alert.starts_at for one in self.meanings if one.alert.starts_at), default=None)


def reader(home: Home) -> Callable[[int, Alert], Meaning]:
    """What says of an alert what it means, by the policy's expressions, the catalogue and the runbooks.

    It raises InputError for an alert that lacks something; a home that cannot be read is one error here, not one an alert.
    """
    policy, catalogue, runbooks = home.policy, home.catalogue, home.runbooks

    def meaning(position: int, alert: Alert) -> Meaning:
        facts, expressions = alert.as_jmespath(), policy.alerts
        service = catalogue.service(expressions.service.read(facts, "service")).name
        environment = catalogue.environment(service, expressions.environment.read(facts, "environment"))
        severity = policy.severity(expressions.severity.read(facts, "severity"))
        try:
            return Meaning(position, alert, service, environment, severity, runbooks.for_alert(facts))
        except NotOneRunbook as error:
            error.details |= {"service": service, "environment": environment, "severity": severity}
            raise

    return meaning


def understood(
    webhook: Webhook, means: Callable[[int, Alert], Meaning], *, confirmed: bool
) -> tuple[tuple[Group, ...], tuple[Problem, ...]]:
    """The groups of a payload's firing alerts, and what could not be used; `confirmed` lets alerts of production through."""
    groups: dict[tuple[str, str, str], list[Meaning]] = {}
    problems = [*webhook.problems]
    for position, alert in webhook.alerts.items():
        if alert.status != "firing":
            continue
        try:
            found = means(position, alert)
            if found.environment == "production" and not confirmed:
                raise InputError("it is about production, which needs confirmation.", cure="Add --confirm-production.")
        except InputError as error:
            problems.append(Problem(position, named(alert.model_dump()), error.message, error.cure))
            continue
        groups.setdefault(found.symptom, []).append(found)
    problems.sort(key=lambda problem: problem.position)
    return tuple(Group(tuple(found)) for found in groups.values()), tuple(problems)


def matches(runbooks: Sequence[Runbook], facts: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """For each runbook that serves alerts at all: its id, its expression, and whether this alert makes it true."""
    return [
        (book.metadata.id, book.metadata.alerts, book.metadata.serves(facts))
        for book in runbooks
        if book.metadata.alerts != "`false`"
    ]
