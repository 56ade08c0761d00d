"""What a service looks like while it is healthy, remembered so that one object of it can be restored later."""

from __future__ import annotations

from dataclasses import dataclass

from sre_responder.engine.health import Health
from sre_responder.engine.remember import on_kubernetes
from sre_responder.errors import InputError
from sre_responder.evidence.looks import probe
from sre_responder.home import Home
from sre_responder.home.catalogue import Service
from sre_responder.home.runbook import Runbook, registry
from sre_responder.ledger import Ledger, known_good

__all__ = ["Measured", "measure", "on_kubernetes"]


@dataclass(frozen=True)
class Measured:
    """What became of measuring one service: healthy, unhealthy or unknown, and whether its objects were remembered."""

    service: str
    environment: str
    state: str
    reason: str
    remembered: int | None
    """How many objects; None if they were not remembered."""


def measure(home: Home, ledger: Ledger, service: Service, environment: str) -> Measured:
    """Measure a service by the registered runbook that looks at most of it; what is healthy is remembered."""
    name = service.name
    try:
        book = _strictest(home, service, environment)
    except InputError as error:
        return Measured(name, environment, "unknown", error.message, None)
    with ledger.transaction(reading=True) as connection:
        before = known_good.find(connection, name, environment)
    verdict = Health(home, ledger, book, name, environment).now()
    with ledger.transaction(reading=True) as connection:
        kept = known_good.find(connection, name, environment)
    count = len(kept.objects) if kept and (before is None or kept.at > before.at) else None
    reason = f"{count} objects remembered" if count is not None else verdict.reason
    if verdict.state == "healthy" and count is None:
        reason = "but its objects could not be read in time"
    return Measured(name, environment, verdict.state, reason, count)


def _strictest(home: Home, service: Service, environment: str) -> Runbook:
    place = home.place(service.name, environment)
    fit = [
        book
        for book in registry(home.folder)
        if book.registered
        and any(look.workload for look in book.metadata.success.looks)
        and not isinstance(probe(book.metadata.success, place), str)
    ]
    if not fit:
        raise InputError(
            "no registered runbook for Kubernetes can measure it.",
            cure="responder runbooks register kubernetes-errors, and the service's annotations.",
        )
    return max(fit, key=lambda book: len(book.metadata.success.looks))
