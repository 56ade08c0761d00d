"""Which clusters a stop sets, which a lifted one releases, and that a cluster which breaks hinders no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import ledgers

from sre_responder.effects.kubernetes import brake
from sre_responder.effects.kubernetes.brake import State
from sre_responder.emergency import cluster_stop, stop
from sre_responder.emergency.cluster_stop import asking, catch_up, covered, described, release, setting, to_release
from sre_responder.errors import EffectFailed, InputError
from sre_responder.home.policy import Cluster, Policy, Stop
from sre_responder.ledger import Ledger, audit
from sre_responder.ledger.schema import outbox as outbox_table

EAST = Cluster(context="east", environment="production")
WEST = Cluster(context="west", environment="staging")
BOTH = Cluster(context="both")
ALL = (EAST, WEST, BOTH)


def row(id: int, environment: str | None = None, service: str | None = None, lifted_at: float | None = None) -> Any:
    return SimpleNamespace(
        raised_at=1.0, id=id, holder="ann", reason="why", environment=environment, service=service, lifted_at=lifted_at
    )


@pytest.mark.parametrize(
    ("environment", "service", "wanted"),
    [
        (None, None, ALL),
        ("production", None, (EAST,)),
        ("staging", None, (WEST,)),
        ("test", None, ()),
        (None, "checkout", ()),
        ("production", "checkout", ()),
    ],
)
def test_a_stop_sets_the_clusters_of_which_it_covers_all(
    environment: str | None, service: str | None, wanted: tuple[Cluster, ...]
) -> None:
    assert covered(ALL, environment, service) == wanted


@pytest.mark.parametrize(
    ("lifted", "standing", "wanted"),
    [
        (row(1), [], ALL),
        (row(1), [row(2)], ()),
        (row(1), [row(2, "production")], (WEST, BOTH)),
        (row(1, "production"), [row(2)], ()),
        (row(1, "production"), [row(2, "staging")], (EAST,)),
        (row(1), [row(2, "production", "checkout")], ALL),
        (row(1, None, "checkout"), [], ()),
    ],
)
def test_a_lifted_stop_releases_what_it_covered_and_nothing_covers_still(
    lifted: Any, standing: list[Any], wanted: tuple[Cluster, ...]
) -> None:
    assert to_release(ALL, lifted, standing) == wanted


def test_a_cluster_that_breaks_in_any_way_hinders_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"east": EffectFailed("no.", cure="Look."), "west": ZeroDivisionError("x")}

    def set_stop(arguments: Mapping[str, Any], reason: str) -> str:
        if error := errors.get(arguments["context"]):
            raise error
        return reason

    monkeypatch.setattr(brake, "set_stop", set_stop)
    assert setting(ALL, "why")() == {
        "done": ["cluster both/responder: denies"],
        "left": [
            "cluster east/responder: not proven: no. Look.",
            "cluster west/responder: not proven: ZeroDivisionError: x",
        ],
    }


def test_a_cluster_is_released_of_the_stops_of_this_ledger_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, set[str]]] = []
    monkeypatch.setattr(brake, "release", lambda arguments, ours: asked.append((arguments["context"], ours)))
    told = release((EAST,), row(1, lifted_at=1.0), [row(1, lifted_at=1.0), row(2, "staging")])
    assert told == {"done": ["cluster east/responder: released"], "left": []}
    assert asked == [("east", {"STOP-1 by ann: why", "STOP-2 by ann: why"})]


def test_what_became_of_it_in_the_clusters_is_on_the_record(ledger_url: str) -> None:
    ledger = ledgers.make(Ledger(ledger_url))
    cluster_stop.record(ledger, "ann", "STOP-1", {"done": [], "left": []})
    cluster_stop.record(
        ledger, "ann", "STOP-2", {"done": ["cluster east: denies"], "left": ["cluster west: not proven: no"]}
    )
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="stop.clusters")
    assert entry.summary == "STOP-2: cluster east: denies; cluster west: not proven: no"
    assert entry.data["left"] == ["cluster west: not proven: no"]


class Clusters:
    """What the brake of each context answers, and with which words it was set."""

    def __init__(self, states: dict[str, State | Exception]) -> None:
        self.states, self.set = states, list[tuple[str, str]]()

    def state(self, arguments: Mapping[str, Any]) -> State:
        found = self.states[arguments["context"]]
        return State("unknown", str(found)) if isinstance(found, Exception) else found

    def set_stop(self, arguments: Mapping[str, Any], reason: str) -> str:
        if isinstance(found := self.states[arguments["context"]], Exception):
            raise found
        self.set.append((arguments["context"], reason))
        self.states[arguments["context"]] = State("stopped", reason)
        return reason


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    here = Clusters({"east": State("clear"), "west": State("clear"), "both": State("clear")})
    monkeypatch.setattr(brake, "state", here.state)
    monkeypatch.setattr(brake, "set_stop", here.set_stop)
    return here


@pytest.fixture
def limits(tmp_path: Path) -> Stop:
    return Stop(file=tmp_path / "EMERGENCY_STOP", clusters=ALL)


def raised(ledger: Ledger, **scope: str) -> None:
    with ledger.transaction() as connection:
        stop.raise_(connection, ledger.now(connection), "responder: cascade", "storm", **scope)


def told_of_clusters(ledger: Ledger) -> list[str]:
    with ledger.transaction(reading=True) as connection:
        return [entry.summary for entry in audit.entries(connection, type="stop.clusters")]


def test_a_stop_raised_in_a_transaction_is_set_afterwards_in_the_clusters_that_it_covers(
    ledger: Ledger, limits: Stop, clusters: Clusters
) -> None:
    raised(ledger, environment="production", service="checkout")
    assert catch_up(ledger, limits) == {"done": [], "left": []}
    raised(ledger, environment="production")
    assert catch_up(ledger, limits) == {"done": ["cluster east/responder: denies"], "left": []}
    assert clusters.set == [("east", "STOP-2 by responder: cascade: storm")]
    assert told_of_clusters(ledger) == ["STOP-2: cluster east/responder: denies"]


def test_a_cluster_that_denies_already_is_left_alone_and_one_released_by_hand_denies_again(
    ledger: Ledger, limits: Stop, clusters: Clusters
) -> None:
    raised(ledger, environment="production")
    clusters.states["east"] = State("stopped", "by hand")
    assert catch_up(ledger, limits) == {"done": [], "left": []}
    for _ in range(2):
        clusters.states["east"] = State("clear")
        assert catch_up(ledger, limits)["done"] == ["cluster east/responder: denies"]
    assert len(told_of_clusters(ledger)) == 2


def test_a_stop_file_becomes_a_stop_of_the_ledger_and_of_every_cluster(
    ledger: Ledger, limits: Stop, clusters: Clusters
) -> None:
    limits.file.write_text("storm")
    catch_up(ledger, limits)
    assert {reason for _, reason in clusters.set} == {"STOP-1 by the stop file: storm"}
    assert sorted(context for context, _ in clusters.set) == ["both", "east", "west"]


def test_a_cluster_that_cannot_be_stopped_is_tried_each_time_told_to_the_commander_and_recorded_once(
    ledger: Ledger, limits: Stop, clusters: Clusters
) -> None:
    raised(ledger, environment="production")
    clusters.states["east"] = EffectFailed("no.")
    for _ in range(2):
        assert catch_up(ledger, limits)["left"] == ["cluster east/responder: not proven: no."]
    assert told_of_clusters(ledger) == ["STOP-1: cluster east/responder: not proven: no."]
    with ledger.transaction(reading=True) as connection:
        kinds = [row.message for row in connection.execute(outbox_table.select())]
    assert sum("stop.clusters" in message for message in kinds) == 1
    clusters.states["east"] = State("clear")
    assert catch_up(ledger, limits)["done"] == ["cluster east/responder: denies"]


def test_a_policy_without_clusters_leaves_the_ledger_alone(limits: Stop, tmp_path: Path) -> None:
    nowhere = Ledger(f"sqlite:///{tmp_path}/none.db")
    assert catch_up(nowhere, limits.model_copy(update={"clusters": ()})) == {"done": [], "left": []}


OURS, THEIRS = "STOP-1 by ann: why", "by hand"
LIFT_BY_HAND = "kubectl --context=east annotate serviceaccount responder -n responder responder.sre/stopped- responder.sre/stop-reason-"


@pytest.mark.parametrize(
    ("state", "stops", "said", "command"),
    [
        (State("clear"), [], None, None),
        (State("clear"), [row(1, "staging"), row(2, "production", "checkout"), row(3, lifted_at=1.0)], None, None),
        (State("stopped", OURS), [row(1)], f"denies: {OURS}", "responder lift STOP-1"),
        (State("stopped", OURS), [row(1, lifted_at=1.0), row(2)], f"denies: {OURS}", "responder lift STOP-2"),
        (State("stopped", THEIRS), [row(1)], "denies by a stop of somebody else: by hand", LIFT_BY_HAND),
        (State("stopped", THEIRS), [], "denies, though no stop of this ledger covers it: by hand", LIFT_BY_HAND),
        (State("stopped", OURS), [row(1, lifted_at=1.0)], f"denies, though no stop of this ledger covers it: {OURS}", LIFT_BY_HAND),
        (State("clear"), [row(7)], "does not deny, though STOP-7 covers it", "responder deliver"),
        (State("unknown", "it is gone"), [], ": nobody knows whether it denies: it is gone", "responder doctor"),
        (State("unknown", "it is gone"), [row(1)], ": nobody knows whether it denies: it is gone", "responder doctor"),
    ],
)  # fmt: skip
def test_what_a_person_must_know_of_a_cluster_comes_with_the_command_that_clears_it(
    state: State, stops: list[Any], said: str | None, command: str | None
) -> None:
    found = described(EAST, state, stops)
    assert (found and found[2]) == command
    assert found is None or found[0] in (f"cluster east/responder {said}", f"cluster east/responder{said}")


def test_a_cluster_that_breaks_is_unknown_and_the_others_are_told(clusters: Clusters) -> None:
    del clusters.states["west"]
    assert asking(ALL)() == {
        EAST: State("clear"), WEST: State("unknown", "KeyError: 'west'"), BOTH: State("clear"),
    }  # fmt: skip


def test_two_entries_of_one_account_are_refused() -> None:
    stop = {"clusters": [{"context": "east"}, {"context": "east", "environment": "production"}]}
    with pytest.raises(ValueError, match="cluster east/responder is named twice"):
        Policy.model_validate({"stop": stop})


def test_a_kubeconfig_of_ones_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    cluster = Cluster.model_validate({"kubeconfig": "~/.kube/config", "namespace": "sre"})
    assert cluster.arguments == {"kubeconfig": "/home/ann/.kube/config", "context": None, "namespace": "sre"}


def test_what_no_client_can_read_is_told(tmp_path: Any) -> None:
    pytest.importorskip("kubernetes")
    with pytest.raises(InputError, match="no cluster is known"):
        brake.set_stop({"kubeconfig": str(tmp_path / "none"), "namespace": "responder"}, "why")
