"""The decision that is asked for again and again: one remedy for one symptom of one service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sre_responder.guard.decide import Decision, decide
from sre_responder.home import Home, find, runbook
from sre_responder.ledger import Ledger, attempts, audit, incidents, runs
from sre_responder.model.plan import Plan
from sre_responder.model.request import Request

SERVICE, FAILURE_CLASS, INCIDENT = "service-0", "stale", "INC-1234"
PLAY = f"""\
- name: Purge
  hosts: localhost
  vars:
    runbook: {{id: purge, failure_class: {FAILURE_CLASS}, success: {{expect: ok}}}}
  tasks:
    - {{name: Look, sre.responder.diagnose: }}
    - {{name: Purge, sre.responder.http_cache_purge: }}
"""


def make(
    folder: Path, url: str, *, environment: str = "staging", severity: str = "SEV4", policy: Mapping[str, Any] = {}
) -> Home:
    """A home with that runbook and its ledger, in which an incident of known scope is open."""
    book = folder / "home" / "runbooks" / "purge"
    book.mkdir(parents=True)
    (folder / "stop").mkdir()
    stop = {"stop": {"file": str(folder / "stop" / "EMERGENCY_STOP")}}
    (folder / "home" / "policy.yml").write_text(yaml.safe_dump({"profile": "production", **stop, **policy}))
    service = {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": SERVICE, "annotations": {"responder/environments": environment}},
    }
    (folder / "home" / "catalogue.yml").write_text(yaml.safe_dump(service))
    (book / "runbook.yml").write_text(PLAY)
    runbook.register(folder / "home", [book])
    ledger = Ledger(url)
    ledger.upgrade()
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        incidents.open_(
            connection, now, id=INCIDENT, service=SERVICE, environment=environment,
            severity=severity, title="x", actor="x",
        )  # fmt: skip
        audit.append(connection, now, "scope.identified", "x", "seen", incident=INCIDENT)
    return home(folder, url)


def home(folder: Path, url: str) -> Home:
    """The home that was made there."""
    return find({"HOME": str(folder), "RESPONDER_HOME": str(folder / "home"), "RESPONDER_LEDGER": url})


def begin(ledger: Ledger, names: Iterable[str]) -> None:
    """Put runs on the record, as every run is before its first decision."""
    with ledger.transaction() as connection:
        for name in names:
            runs.begin(connection, ledger.now(connection), name, driven=False, requester="dana")


def asked(here: Home, run: str, target: str, environment: str) -> tuple[Request, Plan]:
    """What a run asks for."""
    book = here.runbooks.named("purge")
    step = next(task for task in book.tasks if task.action)
    request = Request(
        action="http_cache_purge", incident=INCIDENT, service=SERVICE, environment=environment, confirm_production=True,
        run=run, task="task", step=step.digest, host="localhost", hosts=("localhost",), requester="dana",
    )  # fmt: skip
    plan = Plan(
        incident="INC-1234", runbook="purge", runbook_digest=book.digest, action="http_cache_purge", arguments={}, service=SERVICE,
        environment=environment, target=target, before={"kept": True}, after={"kept": False},
    )  # fmt: skip
    return request, plan


def ask(here: Home, ledger: Ledger, run: str, target: str, environment: str = "staging") -> Decision:
    """The decision."""
    request, plan = asked(here, run, target, environment)
    return decide(here, ledger, request, plan, here.runbooks.named("purge"), measured=True)


def end(ledger: Ledger, decision: Decision, outcome: str = "not_done") -> None:
    """End what was allowed; as not done it counts for nothing, and the next one finds everything as before."""
    assert decision.effect is not None and decision.attempt is not None
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        attempts.end_effect(connection, now, decision.effect, "not_done" if outcome == "not_done" else "done")
        attempts.end_attempt(connection, now, decision.attempt, outcome, "measured", "dana")
