"""The smallest thing that the guard can act on: a light, a home with one runbook for it, and the step that turns it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from sre_responder.effects import Change, Propagation
from sre_responder.engine.step import Step, perform
from sre_responder.home import Home, find, runbook
from sre_responder.ledger import Ledger, incidents, runs
from sre_responder.model.request import Request
from support import ledgers

EMPTY: Mapping[str, Any] = MappingProxyType({})
PLAY = """\
- name: Purge
  hosts: localhost
  vars:
    runbook:
      id: purge
      failure_class: stale
      success: {url: "http://127.0.0.1:1/", minimum_samples: 1, hold_s: 0, interval_s: 0.01, watch_s: 0.05}
  tasks:
    - {name: Look, sre.responder.diagnose: }
    - {name: Purge, sre.responder.http_cache_purge: }
"""


def home_with(root: Path, ledger_url: str, play: str = PLAY) -> Home:
    """A home whose ledger is at that address, with an open incident and a run."""
    folder = root / "home"
    (folder / "runbooks" / "purge").mkdir(parents=True)
    (root / "stop").mkdir()
    policy = {"profile": "homelab", "stop": {"file": str(root / "stop" / "EMERGENCY_STOP")}}
    (folder / "policy.yml").write_text(yaml.safe_dump(policy))
    service = {
        "kind": "Component",
        "metadata": {"name": "checkout", "annotations": {"responder/environments": "dev"}},
        "spec": {},
    }
    (folder / "catalogue.yml").write_text(yaml.safe_dump(service))
    (folder / "runbooks" / "purge" / "runbook.yml").write_text(play)
    runbook.register(folder, [folder / "runbooks" / "purge"])
    here = find({"HOME": str(root), "RESPONDER_HOME": str(folder), "RESPONDER_LEDGER": ledger_url})
    ledger = ledgers.make(Ledger(ledger_url))
    with ledger.transaction() as transaction:
        now = ledger.now(transaction)
        incidents.open_(
            transaction, now, id="INC-1234", service="checkout", environment="dev", severity="SEV4", title="x", actor="x"
        )  # fmt: skip
        runs.begin(transaction, now, "run", driven=False, requester="dana")
    return here


class Light:
    """The smallest effect there is: a light that is on or off. `act` first does what the test wants to happen then."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None, target: str = "light") -> None:
        self.on, self.meanwhile, self.target = False, meanwhile, target

    def plan(self) -> Change:
        return Change(self.target, {"on": self.on}, {"on": True})

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        return way.get("responder/cache-url") == self.target

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return Propagation(True, "it shines")

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        self.on = True
        self.meanwhile()
        return {"on": True}


def take(
    home: Home, light: Light, number: int = 0, *, run: str = "run", options: Mapping[str, Any] = EMPTY,
    check: bool = False, **changes: Any
) -> dict[str, Any]:  # fmt: skip
    """Take that guarded step of the runbook with these options, in a run whose tasks are named by their numbers."""
    book = home.runbooks.named("purge")
    task = book.steps[number]
    request = Request(
        action=str(task.action), incident="INC-1234", service="checkout", environment="dev", confirm_production=False,
        run=run, task=f"task-{number}", step=task.digest, host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    request = replace(request, **changes)
    return perform(Step(home, Ledger(home.ledger_url), request, options, book, light, check=check))
