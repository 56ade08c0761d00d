"""The stop in the clusters that the policy names: set and proven beside the local one, told, lifted with the last that covers them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from sre_responder.emergency import stop
from sre_responder.errors import EffectFailed, ResponderError
from sre_responder.home.policy import Cluster, Stop
from sre_responder.ledger import Ledger, audit

if TYPE_CHECKING:
    from sre_responder.effects.kubernetes.brake import State

SECONDS = 5.0
"""How long a cluster may take to prove a stop, to be released, or to say how it stands. All are asked at once."""

Told = dict[str, list[str]]
"""What became of a stop in the clusters: where it is `done`, and where it is `left`, with the reason."""


def covered(clusters: Iterable[Cluster], environment: str | None, service: str | None) -> tuple[Cluster, ...]:
    """The clusters whose whole entry a stop covers: a cluster's account is stopped whole, so a stop of one service sets none."""
    return tuple(one for one in clusters if service is None and environment in (None, one.environment))


def covering(cluster: Cluster, standing: Iterable[Row[Any]]) -> Row[Any] | None:
    """The oldest stop that covers a cluster; None where none does."""
    return next((row for row in standing if covered([cluster], row.environment, row.service)), None)


def to_release(clusters: Sequence[Cluster], lifted: Row[Any], standing: Sequence[Row[Any]]) -> tuple[Cluster, ...]:
    """The clusters that a lifted stop covered, and none that stands does."""
    return tuple(one for one in covered(clusters, lifted.environment, lifted.service) if not covering(one, standing))


def reason_of(name: str, holder: str, reason: str) -> str:
    """What a cluster says of a stop to whoever it denies; by it the cluster's stop is known as this ledger's."""
    return f"{name} by {holder}: {reason}"


def setting(clusters: Sequence[Cluster], reason: str) -> Callable[[], Told]:
    """Begin to set the stop in these clusters; what is given waits for them, and says which deny, and which are not proven."""
    wait = _at_once(clusters, lambda brake, one: brake.set_stop(one.arguments, reason))
    return lambda: _told(wait(), "denies", "not proven")


def catch_up(ledger: Ledger, limits: Stop) -> Told:
    """Set the stop in each cluster that a standing stop covers and that does not deny yet.

    A cascade raises its stop, and a stop file is seen, inside a transaction, where no cluster is asked: whoever ends a run
    or delivers messages sees to the clusters afterwards.
    """
    if not limits.clusters:
        return _told({}, "", "")
    with ledger.transaction() as connection:
        stop.note(connection, ledger.now(connection), stop.read_file(limits.file))
        standing = stop.every_standing(connection)
        due = {one: row for one in limits.clusters if (row := covering(one, standing))}
        since = min((row.raised_at for row in due.values()), default=ledger.now(connection))
        entries = audit.entries(connection, type="stop.clusters", since=since)
        known = {line for entry in entries for line in entry.data["left"]}

    def see_to(brake: Any, one: Cluster) -> object:
        return brake.state(one.arguments).word == "stopped" or brake.set_stop(one.arguments, _reason(due[one]))

    found = {one: got for one, got in _at_once(tuple(due), see_to)().items() if got is not True}
    for one, got in found.items():
        told = _told({one: got}, "denies", "not proven")
        if known.isdisjoint(told["left"]):  # a cluster that is gone is not told anew each time
            record(ledger, "responder", f"STOP-{due[one].id}", told)
    return _told(found, "denies", "not proven")


def release(clusters: Sequence[Cluster], lifted: Row[Any], every: Sequence[Row[Any]]) -> Told:
    """Lift it where no stop of this ledger stands any more that covers the cluster, and where the cluster's is this ledger's."""
    free = to_release(clusters, lifted, [row for row in every if row.lifted_at is None])
    ours = {_reason(row) for row in every}
    wait = _at_once(free, lambda brake, one: brake.release(one.arguments, ours))
    return _told(wait(), "released", "denies still")


def asking(clusters: Sequence[Cluster]) -> Callable[[], dict[Cluster, State]]:
    """Begin to ask how the stop of these clusters stands; what is given waits for them."""
    wait = _at_once(clusters, lambda brake, one: brake.state(one.arguments))
    return lambda: {one: _state(got) for one, got in wait().items()}


def _state(got: State | Exception) -> State:
    from sre_responder.effects.kubernetes.brake import State

    return State("unknown", str(got)) if isinstance(got, Exception) else got


def described(cluster: Cluster, state: State, every: Sequence[Row[Any]]) -> tuple[str, float | None, str] | None:
    """What a person must know of a cluster's stop beside the ledger's, since when, and the command that clears it; None where all
    is clear."""
    from sre_responder.effects.kubernetes import brake

    name, holding = f"cluster {cluster.name}", covering(cluster, [row for row in every if row.lifted_at is None])
    where = [f"--{key}={cluster.arguments[key]}" for key in ("kubeconfig", "context") if cluster.arguments[key]]
    by_hand = brake.by_hand(cluster.namespace, *where)
    if state.word == "unknown":
        return f"{name}: nobody knows whether it denies: {state.reason}", None, "responder doctor"
    if state.word == "clear":
        if holding is None:
            return None
        return f"{name} does not deny, though STOP-{holding.id} covers it", holding.raised_at, "responder deliver"
    if holding is None:
        return f"{name} denies, though no stop of this ledger covers it: {state.reason}", None, by_hand
    if state.reason not in {_reason(row) for row in every}:
        return f"{name} denies by a stop of somebody else: {state.reason}", None, by_hand
    return f"{name} denies: {state.reason}", holding.raised_at, f"responder lift STOP-{holding.id}"


def record(ledger: Ledger, who: str, name: str, told: Mapping[str, list[str]]) -> None:
    """What became of a stop in the clusters, as an entry of the record; none where it covers no cluster."""
    if said := "; ".join([*told["done"], *told["left"]]):
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            notify = "incident_commander" if told["left"] else None
            audit.append(
                connection, now, "stop.clusters", who, f"{name}: {said}", notify=notify, stop=name, **dict[str, Any](told)
            )  # fmt: skip


def _reason(row: Row[Any]) -> str:
    return reason_of(f"STOP-{row.id}", row.holder, row.reason)


def _told(results: Mapping[Cluster, object], well: str, ill: str) -> Told:
    failed = {one.name: got for one, got in results.items() if isinstance(got, Exception)}
    return {
        "done": [f"cluster {one.name}: {well}" for one in results if one.name not in failed],
        "left": [f"cluster {name}: {ill}: {why}" for name, why in failed.items()],
    }


def _at_once(clusters: Sequence[Cluster], work: Callable[[Any, Cluster], Any]) -> Callable[[], dict[Cluster, Any]]:
    """Begin this work in each cluster; what is given waits for the results: what `work` gave, or the error that it raised."""
    results: dict[Cluster, Any] = {}

    def one(cluster: Cluster) -> None:
        from sre_responder.effects.kubernetes import brake  # a stop that needs no cluster does not wait for it

        try:
            results[cluster] = work(brake, cluster)
        except ResponderError as error:
            results[cluster] = error
        except Exception as error:  # whatever a kubeconfig or its helper program does, the others are stopped
            results[cluster] = EffectFailed(f"{type(error).__name__}: {error}")

    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=one, args=(cluster,), daemon=True) for cluster in clusters]
    for thread in threads:
        thread.start()

    def wait() -> dict[Cluster, Any]:
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        silent = EffectFailed(f"no answer within {SECONDS:g} s")
        return {one: results.get(one, silent) for one in clusters}

    return wait
