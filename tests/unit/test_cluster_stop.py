"""Which clusters a stop sets, which a lifted one releases, and that a cluster which breaks hinders no other."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from sre_responder import cluster_stop
from sre_responder.cluster_stop import covered, release, setting, to_release
from sre_responder.effects.kubernetes import brake
from sre_responder.errors import EffectFailed, InputError
from sre_responder.ledger import Ledger, audit
from sre_responder.policy import Cluster, Policy

EAST = Cluster(context="east", environment="production")
WEST = Cluster(context="west", environment="staging")
BOTH = Cluster(context="both")
ALL = (EAST, WEST, BOTH)


def row(id: int, environment: str | None = None, service: str | None = None, lifted_at: float | None = None) -> Any:
    return SimpleNamespace(
        id=id, holder="ann", reason="why", environment=environment, service=service, lifted_at=lifted_at
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
    ledger = Ledger(ledger_url)
    ledger.upgrade()
    cluster_stop.record(ledger, "ann", "STOP-1", {"done": [], "left": []})
    cluster_stop.record(
        ledger, "ann", "STOP-2", {"done": ["cluster east: denies"], "left": ["cluster west: not proven: no"]}
    )
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="stop.clusters")
    assert entry.summary == "STOP-2: cluster east: denies; cluster west: not proven: no"
    assert entry.data["left"] == ["cluster west: not proven: no"]


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
