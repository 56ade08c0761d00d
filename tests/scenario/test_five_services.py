"""A shop of five services: healed in the order of what needs what, one at a time, each with its canary; a cascade stops it all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from bypass.world import World, world
from support.five_services import NEEDS, Services

from sre_responder.ledger import incidents

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Shop:
    """The processes, and the home that heals them."""

    world: World
    services: Services

    def fails(self, *names: str) -> None:
        """An alert opened the incident of each."""
        for name in names:
            with self.world.ledger.transaction() as connection:
                incidents.open_(
                    connection, self.world.ledger.now(connection), id=incident(name), service=name, environment="staging",
                    severity="SEV1", title="down", actor="alert", failure_class="bad-release",
                )  # fmt: skip

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        return self.world.responder(*command(name))

    def start(self, name: str) -> subprocess.Popen[str]:
        program = str(Path(sys.executable).parent / "responder")
        return subprocess.Popen(
            [program, *command(name)], env=self.world.environ, cwd=self.world.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def policy(self, **changes: Any) -> None:
        path = self.world.home.folder / "policy.yml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))

    def acted_on(self) -> list[str]:
        return [entry.data["radius"]["service"] for entry in self.world.entries("action.started")]

    def waits_for(self, type: str) -> None:
        until = time.monotonic() + 120
        while not self.world.entries(type):
            assert time.monotonic() < until, f"no {type} on the record"
            time.sleep(0.05)


def incident(name: str) -> str:
    return f"INC-{3000 + list(NEEDS).index(name)}"


def command(name: str) -> tuple[str, ...]:
    return ("run", "roll-back", "--incident", incident(name), "--service", name, "--environment", "staging")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    services = Services(tmp_path / "shop")
    try:
        services.start()
        with world(tmp_path, forked=True, order={"canary_seconds": 1}) as here:
            (here.home.folder / "catalogue.yml").write_text(yaml.safe_dump_all(services.catalogue()))
            made = Shop(here, services)
            here.write(whole)
            yield made
    finally:
        services.end()


def whole(play: dict[str, Any]) -> None:
    """The status alone says whether a service is well; what made nothing better is undone."""
    play["vars"]["runbook"]["success"] = {
        "minimum_samples": 1, "hold_s": 0, "interval_s": 0.05, "watch_s": 0.2, "json_required": False,
    }  # fmt: skip
    play["tasks"][1]["sre.responder.release_rollback"]["if_worse"] = "undo"


def test_what_is_needed_is_healed_first_and_what_was_only_its_victim_is_left_alone(shop: Shop) -> None:
    shop.services.release("db", "2", ok=False, broken_for=("api", "search"))
    shop.fails("web", "api", "db")
    refused = shop.run("web")
    assert refused.returncode == 3
    assert "web depends on api, db, not healed yet" in shop.world.refusals()
    assert shop.run("db").returncode == 0
    assert [shop.run(name).returncode for name in ("api", "web")] == [0, 0]
    assert shop.acted_on() == ["db"], "the others were healthy once db was"
    assert [shop.services.current(name) for name in ("db", "api", "web")] == ["1", "2", "2"]


def test_two_causes_are_healed_one_after_the_other_each_proven_by_its_canary(shop: Shop) -> None:
    for name in ("stock", "web"):
        shop.services.release(name, "2", ok=False)
    shop.fails("web", "stock")
    assert shop.run("web").returncode == 3
    assert [shop.run(name).returncode for name in ("stock", "web")] == [0, 0]
    assert shop.acted_on() == ["stock", "web"]
    passed = [entry.data["attempt"] for entry in shop.world.entries("canary.passed")]
    assert passed == [1, 2]
    measured = shop.world.entries("action.started")[0].data["evidence"]["downstream"]
    assert measured == {"api": "healthy", "web": "unhealthy"}


def in_a_canary(shop: Shop) -> subprocess.Popen[str]:
    """A run that has healed one of two services that fail, and watches it for long."""
    shop.policy(order={"canary_seconds": 200})
    for name in ("stock", "web"):
        shop.services.release(name, "2", ok=False)
    shop.fails("web", "stock")
    run = shop.start("stock")
    shop.waits_for("effect.done")
    return run


def test_one_service_at_a_time(shop: Shop) -> None:
    first = in_a_canary(shop)
    second = shop.run("web")
    shop.world.responder("stop", "seen enough")
    first.communicate(timeout=120)
    assert second.returncode == 3
    assert "stock is being changed in this outage: one service at a time" in shop.world.refusals()
    assert shop.acted_on() == ["stock"]


def test_what_heals_a_service_and_breaks_those_that_need_it_is_undone_and_handed_over(shop: Shop) -> None:
    shop.services.release("db", "2", ok=False)
    shop.services.release("db", "1", broken_for=("search",))
    shop.fails("db")
    done = shop.run("db")
    assert done.returncode == 6, done.stdout + done.stderr
    [failed] = shop.world.entries("canary.failed")
    assert failed.data["broken"] == ["search", "web"]
    assert shop.services.current("db") == "2"
    assert shop.world.entries("undo.done")
    shown = shop.world.responder("incident", "show", incident("db")).stdout
    assert "escalation: on_call: handed over" in shown


def test_a_cascade_raises_the_stop_and_hands_over(shop: Shop) -> None:
    shop.services.release("db", "2", ok=False)
    shop.services.release("db", "1", broken_for=("api", "search"))
    shop.fails("db", "stock")
    done = shop.run("db")
    assert done.returncode == 4, done.stdout + done.stderr
    [stop] = json.loads(shop.world.responder("stops", "--json").stdout)
    assert "3 services newly failed within 15 minutes downstream of what was acted on: api, search, web" in stop["what"]
    assert [entry.incident for entry in shop.world.entries("handoff.made")] == [incident("db")]
    assert shop.run("stock").returncode == 4, "nothing else is healed by machine"
    assert shop.acted_on() == ["db"]
    shown = shop.world.responder("incident", "show", incident("db")).stdout
    assert "escalation: stopped: a cascade raised the emergency stop" in shown
    assert "responder undo 1" in shown


def test_the_third_service_that_fails_calls_the_incident_commander(shop: Shop) -> None:
    shop.services.release("db", "2", ok=False, broken_for=("api", "search"))
    shop.fails("db", "api")
    shop.world.responder("deliver")
    assert "(level on_call)" in shop.world.responder("status").stdout
    shop.fails("web")
    shop.world.responder("deliver")
    assert "(level commander)" in shop.world.responder("status").stdout


def test_a_run_that_is_killed_in_its_canary_leaves_an_unknown_outcome_and_holds_the_others_back(shop: Shop) -> None:
    run = in_a_canary(shop)
    for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
        os.kill(process.pid, signal.SIGKILL)
    run.communicate()
    frozen = json.loads(shop.world.responder("status", "--json").stdout)["frozen"]
    assert len(frozen) == 1
    shop.policy(order={"canary_seconds": 1})
    refused = shop.run("web")
    assert refused.returncode == 3
    assert "stock" in shop.world.refusals()
    assert shop.acted_on() == ["stock"]
