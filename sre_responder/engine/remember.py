"""What a service looks like while it is healthy, remembered so that one object of it can be restored later."""

from __future__ import annotations

import threading
from contextlib import suppress

from sre_responder.effects.kubernetes.known_good import capture
from sre_responder.errors import ResponderError
from sre_responder.home.catalogue import Service
from sre_responder.ledger import Ledger, known_good
from sre_responder.model.actions import KUBERNETES
from sre_responder.model.known_good import KnownGood

SECONDS = 2.0
"""How long a cluster may take to say it; what takes longer is not remembered this time."""


def remember(ledger: Ledger, service: Service, environment: str) -> KnownGood | None:
    """Remember the objects of a service that was just measured healthy; None where that is not possible now. Never fails a run."""
    where = on_kubernetes(service, environment)
    found: list[KnownGood] = []

    def look() -> None:
        with suppress(Exception):  # whatever the cluster answers, the run goes on without it
            found.append(capture(where))

    if not where:
        return None
    # A daemon: a cluster that never answers must not keep the process alive.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if not found:
        return None
    with suppress(ResponderError), ledger.transaction() as connection:
        known_good.keep(connection, ledger.now(connection), service.name, environment, found[0])
        return found[0]
    return None


def on_kubernetes(service: Service, environment: str) -> dict[str, str]:
    """How its workload is found; empty where the catalogue does not say that it is on Kubernetes."""
    annotations = service.reached(environment)
    where = {name: annotations[key] for name, key in KUBERNETES.items() if key in annotations}
    return where if "namespace" in where else {}
