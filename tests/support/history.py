"""A history told minute by minute: a fake clock, a real home, real decisions on a real ledger, real signatures."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import yaml
from sqlalchemy import insert

from sre_responder.approvals import sign_off
from sre_responder.effects import Change
from sre_responder.engine.step import Step
from sre_responder.engine.step.plan import plan_of
from sre_responder.guard.decide import Decision, decide
from sre_responder.guard.gates.loop import lockout
from sre_responder.guard.picture import symptom
from sre_responder.home import Home, find
from sre_responder.home.runbook import PLAYBOOK, Runbook, digest
from sre_responder.ledger import Ledger, attempts, audit, incidents, runs
from sre_responder.ledger.schema import not_applicable
from sre_responder.model.actions import ACTIONS, UNDO
from sre_responder.model.gate import Gate
from sre_responder.model.plan import IfWorse, Plan
from sre_responder.model.request import Request
from support import ledgers
from support.light import Light

EPOCH = 1_800_000_000.0
DAY = 24 * 60.0
PEOPLE: dict[str, list[str]] = {
    "rosa": ["operator"], "dana": ["operator"], "omar": ["operator"], "iris": ["incident_commander"], "otto": [],
}  # fmt: skip
"""Rosa asks for everything; Otto has a key and no role."""
SERVICES = ("checkout", "search", "basket", "login", "mail")
LADDER = ("haproxy_drain", "http_cache_purge", "supervisor_restart", "release_rollback", "haproxy_failover")
BOOKS: dict[str, tuple[str, Sequence[str]]] = {
    "drain": ("errors", LADDER[:1]),
    "purge": ("errors", LADDER[1:2]),
    "restart": ("errors", LADDER[2:3]),
    "roll-back": ("errors", LADDER[3:4]),
    "fail-over": ("errors", LADDER[4:]),
    "hold": ("errors", ["kubernetes_hold"]),
    "purge-contained": ("errors", LADDER[1:2]),
    "ladder": ("errors", LADDER),
    "purge-too": ("errors", LADDER[1:2]),
    "purge-slow": ("slowness", LADDER[1:2]),
}
"""Runbook to its failure class and its actions. All but the slow one are for one symptom of a service;
the contained one asks for containment first."""

Outcome = Literal["improved", "not_improved", "unknown", "not_done", "half", "running"]
"""`half`: done on the first host, the others are still to come. `running`: not even that."""
Gates = dict[str, Gate]


@dataclass(frozen=True)
class Ask:
    """One action that is asked for; what is left out makes it the purge of checkout's cache in staging."""

    book: str = "purge"
    """The runbook, or `undo` for the step back."""
    action: str = ""
    """Where the runbook has several."""
    service: str = "checkout"
    environment: str = "staging"
    incident_of: str = ""
    """Another service, for whose incident this is done."""
    hosts: tuple[str, ...] = ("localhost",)
    run: str = ""
    target: str = ""
    """Where it matters; else the one that this action has for this service there."""
    before: Mapping[str, Any] = field(default_factory=lambda: {"state": "old"})
    arguments: Mapping[str, Any] = field(default_factory=dict)
    undoes: int | None = None
    busy: str | None = None
    measured: bool = True
    problems: tuple[str, ...] = ()
    if_worse: IfWorse = "undo"


class History:
    """What happened so far. Each telling method takes the minute at which it happens, by the machine's clock."""

    def __init__(self, folder: Path, *, epoch: float = EPOCH, probe: str | None = None, **policy: Any) -> None:
        self.folder, self.epoch, self.minute, self.numbers = folder, epoch, 0.0, count(1)
        self.astray = 0.0
        self.success = {
            "expect": "ok",
            "minimum_samples": 1,
            "hold_s": 0,
            "interval_s": 0.01,
            "watch_s": 0.05,
            "url": probe,
        }
        self.incidents: dict[tuple[str, str], str] = {}
        self.books: dict[str, Runbook] = {}
        self.last: Decision
        for name in ("home", "stop", "keys", "state"):
            (folder / name).mkdir(parents=True)
        component = {"apiVersion": "backstage.io/v1alpha1", "kind": "Component"}
        exists = {"responder/environments": "staging"}
        services = [{**component, "metadata": {"name": name, "annotations": exists}} for name in SERVICES]
        people = [{"name": name, "principal": f"{name}@example.org", "roles": roles} for name, roles in PEOPLE.items()]
        (folder / "home" / "catalogue.yml").write_text(yaml.safe_dump_all(services))
        (folder / "home" / "people.yml").write_text(yaml.safe_dump({"people": people}))
        (folder / "home" / "allowed_signers").touch()
        self.policy(**policy)
        self.ledger = Ledger(self.home.ledger_url, clock=lambda: self.clock, boot=lambda: ("boot", self.minute * 60))
        ledgers.make(self.ledger)

    # What happens

    def tried(
        self,
        minute: float,
        book: str = "purge",
        outcome: Outcome = "not_improved",
        *,
        approved_by: Sequence[str] = (),
        **ask: Any,
    ) -> History:
        """An action was allowed, on each of its hosts in turn, and came to this."""
        wanted = self.named(Ask(book, **ask))
        if approved_by:
            self.decide(minute, wanted)
            for name in approved_by:
                self.signs(minute, name)
            wanted = replace(wanted, run=f"{wanted.run}-again")
        for host in wanted.hosts[:1] if outcome in ("half", "running") else wanted.hosts:
            self.decide(minute, wanted, host)
            assert self.last.allowed, f"this history cannot be: {[gate.reason for gate in self.last.refusals]}"
            if outcome != "running":
                self._end_effect(outcome)
        if outcome not in ("half", "running"):
            self._end_attempt(outcome)
        return self

    def ended(self, outcome: Outcome) -> History:
        """The last action, on its one host, came to this."""
        self._end_effect(outcome)
        self._end_attempt(outcome)
        return self

    def refused(self, minute: float, book: str = "purge", **ask: Any) -> History:
        """An action was asked for with a wrong argument, and refused."""
        self.decide(minute, Ask(book, problems=("wrong",), **ask))
        assert not self.last.allowed
        return self

    def asks(self, minute: float, book: str = "purge", host: str = "", **ask: Any) -> Gates:
        """What the gates say of an action that is asked for now."""
        self.decide(minute, Ask(book, **ask), host)
        return {gate.name: gate for gate in self.last.gates}

    def healthy(
        self,
        *minutes: float,
        service: str = "checkout",
        environment: str = "staging",
        failure: str = "errors",
        ok: bool = True,
    ) -> History:
        """The symptom was looked for at these minutes, and was not there; with `ok=False` it was."""
        for minute in minutes:
            self.minute = minute
            with self.ledger.transaction() as connection:
                now, name = self.ledger.now(connection), symptom(environment, service, failure)
                incidents.observe(connection, now, name, ok, self.home.policy.loop.healthy_seconds)
        return self

    def opened(
        self,
        minute: float,
        severity: str = "SEV4",
        service: str = "checkout",
        environment: str = "staging",
        alert: str | None = None,
    ) -> History:
        """A new incident number; from now on it is the one of that service there."""
        self.minute = minute
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            id, new = incidents.open_(
                connection, now, service=service, environment=environment, severity=severity, title="x", actor="x",
                failure_class=alert,
            )  # fmt: skip
            assert new
            audit.append(connection, now, "scope.identified", "x", "seen", incident=id)
        self.incidents[service, environment] = id
        return self

    def reset(self, minute: float, breaker: str, person: str = "iris") -> History:
        """An incident commander allowed one trial."""
        self.minute = minute
        sign_off.reset(self.home, self.ledger, breaker, self.home.people.named(person), self.key(person))
        return self

    def attested(self, minute: float, book: str = "purge") -> History:
        """A person signed that the runbook was tried elsewhere."""
        self.minute = minute
        self.book(book)
        person, evidence = self.home.people.named("dana"), "https://example.org/trial"
        sign_off.attest(self.home, self.ledger, book, person, self.key("dana"), evidence)
        return self

    def signs(self, minute: float, person: str, decision: Literal["grant", "deny"] = "grant") -> History:
        """A person approved or denied the plan that was last asked for."""
        self.minute = minute
        assert self.last.plan is not None
        named = self.home.people.named(person)
        sign_off.decide(self.home, self.ledger, self.last.plan.digest, named, self.key(person), decision)
        return self

    def settled(self, minute: float, became: str) -> History:
        """A probe told what became of the last attempt, whose outcome was unknown."""
        self.minute = minute
        self._end_effect(became)
        with self.ledger.transaction() as connection:
            attempts.settle(connection, self.attempt)
        return self

    def declined(self, minute: float, action: str) -> History:
        """A step of the ladder was declared not applicable."""
        self.minute = minute
        step = next(task.digest for task in self.book("ladder").steps if task.action == action)
        values = {"incident": self.incident("checkout", "staging"), "step": step, "because": "x"}
        with self.ledger.transaction() as connection:
            connection.execute(insert(not_applicable).values(**values, at=self.ledger.now(connection)))
        return self

    def jumped(self, minute: float, by: float) -> History:
        """The clock is set: from now on it shows so many minutes more than have passed."""
        self.minute, self.astray = minute, self.astray + by
        return self

    def noted(self) -> History:
        """Something is put on the record that counts for nothing."""
        with self.ledger.transaction() as connection:
            audit.append(connection, self.ledger.now(connection), "note.added", "x", "x")
        return self

    def edited(self, book: str = "purge", text: str = "# one more line\n") -> History:
        """A runbook was edited and registered again; without a text it is as it first was."""
        self.book(book, text)
        return self

    def depends(self, annotations: Mapping[str, Mapping[str, str]] | None = None, **needs: Sequence[str]) -> History:
        """From now on the catalogue says what these services need, and what else is annotated."""
        known = dict.fromkeys([*SERVICES, *needs, *(one for all_needed in needs.values() for one in all_needed)])
        services = [
            {
                "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
                "metadata": {"name": name, "annotations": {"responder/environments": "staging", **(annotations or {}).get(name, {})}},
                "spec": {"dependsOn": list(needs.get(name, ()))},
            }
            for name in known
        ]  # fmt: skip
        (self.folder / "home" / "catalogue.yml").write_text(yaml.safe_dump_all(services))
        return self._reloaded()

    def policy(self, **changes: Any) -> History:
        """The policy is now the production profile with these changes."""
        stop = {"stop": {"file": str(self.folder / "stop" / "EMERGENCY_STOP")}}
        path = self.folder / "home" / "policy.yml"
        path.write_text(yaml.safe_dump({"profile": "production", **stop, **changes}))
        return self._reloaded()

    # What it is made of

    @property
    def clock(self) -> float:
        """What the machine's clock shows, in seconds."""
        return self.epoch + (self.minute + self.astray) * 60

    @property
    def attempt(self) -> int:
        """The number of the last attempt."""
        assert self.last.attempt is not None
        return self.last.attempt

    def incident(self, service: str, environment: str) -> str:
        """The number of the service's incident there; one without limits is opened where there is none."""
        if (service, environment) not in self.incidents:
            self.opened(self.minute, service=service, environment=environment)
        return self.incidents[service, environment]

    def key(self, person: str) -> Path:
        """The person's SSH key; made, and known to the home, when it is first used."""
        path = self.folder / "keys" / person
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
            with (self.folder / "home" / "allowed_signers").open("a") as signers:
                public = path.with_suffix(".pub").read_text()
                signers.write(f'{person}@example.org namespaces="sre-responder" {public}')
        return path

    def book(self, name: str, text: str | None = None) -> Runbook:
        """A registered runbook, written when it is first asked for; `text` is added to it."""
        if text is not None or name not in self.books:
            failure_class, actions = BOOKS[name]
            meta = {"id": name, "failure_class": failure_class, "success": self.success}
            meta |= {"contain_first": name == "purge-contained"}
            tasks = [{"name": action, f"sre.responder.{action}": None} for action in actions]
            play = {"name": name, "hosts": "localhost", "vars": {"runbook": meta}, "tasks": tasks}
            folder = self.folder / "home" / "runbooks" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / PLAYBOOK).write_text(yaml.safe_dump([play], sort_keys=False) + (text or ""))
            self.books[name] = Runbook(folder, digest(folder), shipped=False)
        return self.books[name]

    def named(self, ask: Ask) -> Ask:
        """With a run of its own and the action's target, where none is named."""
        action = ask.action or (UNDO.name if ask.book == UNDO.name else BOOKS[ask.book][1][0])
        target = ask.target or target_of(action, ask.service, ask.environment)
        return replace(ask, run=ask.run or f"run-{next(self.numbers)}", target=target)

    def request(self, ask: Ask, host: str = "") -> Request:
        """The request as the action plugin makes it."""
        book = self._book(ask)
        step = next((task for task in book.steps if ask.action in ("", task.action)), None) if book else None
        return Request(
            action=str(step.action) if step else UNDO.name, step=step.digest if step else "", service=ask.service,
            environment=ask.environment, incident=self.incident(ask.incident_of or ask.service, ask.environment),
            confirm_production=True, run=ask.run, task="task", host=host or ask.hosts[0],
            hosts=ask.hosts, requester="rosa", problems=ask.problems, undoes=ask.undoes,
        )  # fmt: skip

    def plan(self, ask: Ask, request: Request) -> Plan:
        """The plan as the step makes it."""
        change = Change(
            target=f"{request.host}:{ask.target}", before=dict(ask.before), after={"state": "new"}, busy=ask.busy
        )  # fmt: skip
        spec = ACTIONS.get(request.action, UNDO)
        call = Step(
            self.home, self.ledger, request, ask.arguments, self._book(ask), Light(), if_worse=ask.if_worse
        )  # fmt: skip
        return plan_of(call, spec, change)

    def decide(self, minute: float, ask: Ask, host: str = "") -> None:
        """Let the guard decide; `last` is what it said."""
        self.minute, ask = minute, self.named(ask)
        request = self.request(ask, host)
        plan = self.plan(ask, request)
        with self.ledger.transaction() as connection:
            runs.begin(connection, self.ledger.now(connection), request.run, driven=False, requester="rosa")
        self.last = decide(self.home, self.ledger, request, plan, self._book(ask), measured=ask.measured)

    def _book(self, ask: Ask) -> Runbook | None:
        return None if ask.book == UNDO.name else self.book(ask.book)

    def _end_effect(self, outcome: str) -> None:
        assert self.last.effect is not None
        state = outcome if outcome in ("unknown", "not_done") else "done"
        with self.ledger.transaction() as connection:
            observed = {"state": "new"} if state == "done" else None
            attempts.end_effect(connection, self.ledger.now(connection), self.last.effect, state, observed=observed)

    def _end_attempt(self, outcome: str) -> None:
        with self.ledger.transaction() as connection:
            attempts.end_attempt(connection, self.ledger.now(connection), self.attempt, outcome, "x", "x")

    def _reloaded(self) -> History:
        database = f"sqlite:///{self.folder / 'state' / 'ledger.db'}"
        environ = {"HOME": str(self.folder), "RESPONDER_HOME": str(self.folder / "home"), "RESPONDER_LEDGER": database}
        self.home: Home = find(environ)
        return self


def target_of(action: str, service: str = "checkout", environment: str = "staging") -> str:
    return f"{action}.{service}.{environment}"


def lock(
    action: str,
    service: str = "checkout",
    environment: str = "staging",
    failure: str = "errors",
    host: str = "localhost",
) -> str:
    """The name under which an action on its target is locked out."""
    return lockout(symptom(environment, service, failure), action, f"{host}:{target_of(action, service, environment)}")
