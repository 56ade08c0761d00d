"""The stop in the clusters that the policy names: set and proven beside the local one, lifted with the last that covers them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from sre_responder.errors import ResponderError
from sre_responder.ledger import Ledger, audit
from sre_responder.policy import Cluster

SECONDS = 5.0
"""How long a cluster may take to prove a stop, or to be released. All are asked at once."""


def covered(clusters: Sequence[Cluster], environment: str | None, service: str | None) -> tuple[Cluster, ...]:
    """The clusters whose whole entry a stop covers: a cluster's account is stopped whole, so a stop of one service sets none."""
    return tuple(one for one in clusters if service is None and environment in (None, one.environment))


def to_release(clusters: Sequence[Cluster], lifted: Row[Any], standing: Iterable[Row[Any]]) -> tuple[Cluster, ...]:
    """The clusters that a lifted stop covered, and none that stands does."""
    held = {one for row in standing for one in covered(clusters, row.environment, row.service)}
    return tuple(one for one in covered(clusters, lifted.environment, lifted.service) if one not in held)


def reason_of(name: str, holder: str, reason: str) -> str:
    """What a cluster says of a stop to whoever it denies; by it the cluster's stop is known as this ledger's."""
    return f"{name} by {holder}: {reason}"


def setting(clusters: Sequence[Cluster], reason: str) -> Callable[[], dict[str, list[str]]]:
    """Begin to set the stop in these clusters; what is given waits for them, and says which deny, and which are not proven."""
    wait = _at_once(clusters, lambda brake, arguments: brake.set_stop(arguments, reason))
    return lambda: _told(wait(), "denies", "not proven")


def release(clusters: Sequence[Cluster], lifted: Row[Any], every: Sequence[Row[Any]]) -> dict[str, list[str]]:
    """Lift it where no stop of this ledger stands any more that covers the cluster, and where the cluster's is this ledger's."""
    free = to_release(clusters, lifted, [row for row in every if row.lifted_at is None])
    ours = {reason_of(f"STOP-{row.id}", row.holder, row.reason) for row in every}
    wait = _at_once(free, lambda brake, arguments: brake.release(arguments, ours))
    return _told(wait(), "released", "denies still")


def record(ledger: Ledger, who: str, stop: str, told: Mapping[str, list[str]]) -> None:
    """What became of a stop in the clusters, as an entry of the record; none where it covers no cluster."""
    if said := "; ".join([*told["done"], *told["left"]]):
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            audit.append(connection, now, "stop.clusters", who, f"{stop}: {said}", stop=stop, **dict[str, Any](told))


def _told(said: Mapping[str, str], well: str, ill: str) -> dict[str, list[str]]:
    return {
        "done": [f"cluster {name}: {well}" for name, why in said.items() if not why],
        "left": [f"cluster {name}: {ill}: {why}" for name, why in said.items() if why],
    }


def _at_once(
    clusters: Sequence[Cluster], work: Callable[[Any, Mapping[str, Any]], object]
) -> Callable[[], dict[str, str]]:
    said: dict[str, str] = {}

    def one(cluster: Cluster) -> None:
        from sre_responder.effects.kubernetes import brake  # a stop that needs no cluster does not wait for it

        try:
            work(brake, cluster.arguments)
            said[cluster.name] = ""
        except ResponderError as error:
            said[cluster.name] = str(error)
        except Exception as error:  # whatever a kubeconfig or its helper program does, the others are stopped
            said[cluster.name] = f"{type(error).__name__}: {error}"

    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=one, args=(cluster,), daemon=True) for cluster in clusters]
    for thread in threads:
        thread.start()

    def wait() -> dict[str, str]:
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return {one.name: said.get(one.name, f"no answer within {SECONDS:g} s") for one in clusters}

    return wait
