"""What is healthy is remembered; a cluster that is slow, mute or odd costs a run at most a moment, and never its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.ledgers import make

from sre_responder.engine import remember
from sre_responder.errors import EffectFailed
from sre_responder.home.catalogue import Service
from sre_responder.ledger import Ledger, known_good
from sre_responder.model.known_good import KnownGood

ON_KUBERNETES = {"backstage.io/kubernetes-namespace": "shop", "staging.responder/kubernetes-name": "checkout"}
GOOD = KnownGood({"Service/checkout": {"spec": {}}}, frozenset({"Service"}))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))


def service(**annotations: str) -> Service:
    return Service("checkout", "payments", None, (), annotations)


def found(ledger: Ledger, environment: str = "staging") -> KnownGood | None:
    with ledger.transaction(reading=True) as connection:
        return known_good.find(connection, "checkout", environment)


def captures(monkeypatch: pytest.MonkeyPatch, what: Callable[[Mapping[str, Any]], KnownGood]) -> None:
    monkeypatch.setattr(remember, "capture", what)


def test_the_last_time_counts_and_each_environment_has_its_own(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Any]] = []
    captures(monkeypatch, lambda where: (asked.append(where), GOOD)[1])
    one = service(**ON_KUBERNETES)
    assert remember.remember(ledger, one, "staging") == GOOD
    assert asked == [{"namespace": "shop", "name": "checkout"}]
    first = found(ledger)
    assert first and first.objects == GOOD.objects and first.at > 0 and found(ledger, "dev") is None
    captures(monkeypatch, lambda where: KnownGood({}, frozenset()))
    remember.remember(ledger, one, "staging")
    assert (now := found(ledger)) and not now.objects, "what is there no more is not remembered"


def failing(where: Mapping[str, Any]) -> KnownGood:
    raise EffectFailed("no")


def odd(where: Mapping[str, Any]) -> KnownGood:
    raise KeyError("spec")


@pytest.mark.parametrize("what", [failing, odd])
def test_a_cluster_that_cannot_be_read_leaves_what_was_remembered(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, what: Callable[[Mapping[str, Any]], KnownGood]
) -> None:
    captures(monkeypatch, lambda where: GOOD)
    remember.remember(ledger, service(**ON_KUBERNETES), "staging")
    captures(monkeypatch, what)
    assert remember.remember(ledger, service(**ON_KUBERNETES), "staging") is None
    assert (kept := found(ledger)) and kept.objects == GOOD.objects


def test_a_cluster_that_does_not_answer_is_not_waited_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    captures(monkeypatch, lambda where: (release.wait(60), GOOD)[1])
    monkeypatch.setattr(remember, "SECONDS", 0.05)
    try:
        assert remember.remember(ledger, service(**ON_KUBERNETES), "staging") is None
        assert not release.is_set()
    finally:
        release.set()


def test_of_a_service_off_kubernetes_nothing_is_asked(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    captures(monkeypatch, failing)
    assert remember.remember(ledger, service(**{"responder/probe-url": "http://x"}), "staging") is None


def test_a_ledger_that_cannot_be_written_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures(monkeypatch, lambda where: GOOD)
    nowhere = Ledger(f"sqlite:///{tmp_path / 'no' / 'ledger.db'}")
    assert remember.remember(nowhere, service(**ON_KUBERNETES), "staging") is None
