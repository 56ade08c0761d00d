"""Ways round what people sign: approvals, resets and attestations that do not hold change nothing."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World, world
from sqlalchemy import delete, insert, select, update

from sre_responder.approvals import sign_off
from sre_responder.approvals.approval import NAMESPACE, state
from sre_responder.errors import Refused
from sre_responder.guard import breakers
from sre_responder.home import Home, find, runbook
from sre_responder.home.people import Person
from sre_responder.ledger import Ledger, audit, incidents, plans
from sre_responder.ledger.schema import approvals, signatures
from sre_responder.model.statement import Statement

MODULE = "sre.responder.release_rollback"
ROLES = {"dana": ["operator"], "iris": ["incident_commander"], "otto": [], "rosa": ["operator"]}
"""Rosa is whoever runs these tests, so she asks; Dana and Iris may approve; Otto has a key and no role."""
STAGING = {"incident": "INC-1234", "target": "staging"}
PRODUCTION = {"incident": "INC-4321", "target": "production"}


@dataclass(frozen=True)
class Staffed:
    """A world with people who hold keys. `names` are what the runbook is run with."""

    world: World
    names: Mapping[str, str]

    @property
    def home(self) -> Home:
        """The home as its files are now."""
        return find(self.world.environ)

    def key(self, name: str) -> Path:
        return self.world.root / "keys" / name

    def play(self, through: tuple[str, ...] = (), **names: str) -> subprocess.CompletedProcess[str]:
        variables = {**self.names, "to": "previous", **names}
        return self.world.play("-e", json.dumps(variables), through=through)

    def plan(self) -> str:
        """The plan that waits for a person."""
        with self.world.ledger.transaction(reading=True) as connection:
            return str(plans.waiting(connection)[-1].digest)

    def blocking(self) -> dict[str, Any]:
        """The gates that blocked the latest refusal, by name, with their evidence."""
        return {gate["name"]: gate["evidence"] for gate in self.world.entries("gate.blocked")[-1].data["gates"]}

    def approve(self, name: str, key: str = "") -> subprocess.CompletedProcess[str]:
        """The command as a person types it."""
        return self.world.responder("approve", self.plan(), "--as", name, "--key", str(self.key(key or name)), "--yes")

    def says(
        self, kind: Any, subject: str, person: str = "dana", decision: Any = "grant", starts: float = 0, valid: float = 1800
    ) -> Statement:  # fmt: skip
        """What somebody says; `starts` and `valid` are seconds, from now and from then."""
        with self.world.ledger.transaction(reading=True) as connection:
            at = self.world.ledger.now(connection) + starts
        return state(kind, subject, Person(name=person, principal=""), at, valid, decision=decision)

    def signature(self, statement: Statement, key: str, namespace: str = NAMESPACE) -> str:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.key(key))]
        return subprocess.run(command, input=statement.text, capture_output=True, text=True, check=True).stdout


@contextmanager
def staffed(root: Path, names: Mapping[str, str], **policy: Any) -> Iterator[Staffed]:
    with world(root, forked=True, **policy) as here:
        (root / "keys").mkdir()
        for name in (*ROLES, "outside"):
            key = str(root / "keys" / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
        login = pwd.getpwuid(os.getuid()).pw_name
        people = [
            {"name": name, "principal": f"{name}@example.org", "roles": roles, "logins": [login] * (name == "rosa")}
            for name, roles in ROLES.items()
        ]
        (here.home.folder / "people.yml").write_text(yaml.safe_dump({"people": people}))
        found = Staffed(here, names)
        write_signers(found)
        catalogue = here.home.folder / "catalogue.yml"
        catalogue.write_text(catalogue.read_text().replace("staging", names.get("target", "staging")))
        with here.ledger.transaction() as connection:
            incidents.open_(
                connection, here.ledger.now(connection), id="INC-4321", service="checkout", environment="production",
                severity="SEV3", title="bad", actor="test",
            )  # fmt: skip
        here.write(lambda play: play["tasks"][1][MODULE].update(to="{{ to }}", confirm_production=True))
        here.heals("1")
        yield found


def write_signers(here: Staffed, **keys: str) -> None:
    """Everybody's key in allowed_signers; `keys` names another key, or none, for one of them."""
    held = {name: keys.get(name, name) for name in ROLES}
    lines = [
        f'{name}@example.org namespaces="{NAMESPACE}" {here.key(key).with_suffix(".pub").read_text()}'
        for name, key in held.items()
        if key
    ]
    (here.home.folder / "allowed_signers").write_text("".join(lines))


def attest(here: Staffed) -> None:
    person = here.home.people.named("iris")
    sign_off.attest(here.home, here.world.ledger, "roll-back", person, here.key("iris"), "https://example.org/trial")


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Staffed]:
    """A rollback in production was asked for and refused: only an approval is missing."""
    with staffed(tmp_path, PRODUCTION) as here:
        yield _asked(here)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    """The same, shared by tests that leave it as it was."""
    with staffed(tmp_path_factory.mktemp("production"), PRODUCTION) as here:
        yield _asked(here)


def _asked(here: Staffed) -> Staffed:
    attest(here)
    here.play()
    assert list(here.blocking()) == ["approval"]
    return here


Forgery = Callable[[Staffed], None]
"""Puts a decision straight into the ledger, as an attacker with access to the database would."""


def decision(
    *, kind: str = "approval", subject: str = "", key: str = "", namespace: str = NAMESPACE, edited: Mapping[str, Any] | None = None, **said: Any
) -> Forgery:  # fmt: skip
    """A decision signed with somebody's key, the speaker's own where none is named; `edited` after it was signed."""

    def put(here: Staffed) -> None:
        plan = here.plan()
        statement = here.says(kind, subject or plan, **said)
        signature = here.signature(statement, key or statement.person, namespace)
        keep(here, statement.model_copy(update=dict(edited or {})), signature, plan)

    return put


def keep(here: Staffed, statement: Statement, signature: str, plan: str) -> None:
    """Keep a decision unverified, under a plan whatever it says."""
    with here.world.ledger.transaction() as connection:
        plans.add_approval(connection, statement, signature)
        connection.execute(update(approvals).where(approvals.c.nonce == statement.nonce).values(plan=plan))


FORGED: dict[str, tuple[Forgery, ...]] = {
    "no approval": (),
    "of another plan": (decision(subject="0" * 64),),
    "expired": (decision(starts=-3600),),
    "valid for longer than the policy allows": (decision(valid=86400),),
    "dated ahead": (decision(starts=3600),),
    "by the requester": (decision(person="rosa"),),
    "by a person without a role": (decision(person="otto"),),
    "by a person whom nobody knows": (decision(person="mallory", key="outside"),),
    "with a key from outside": (decision(key="outside"),),
    "with the key of another person": (decision(key="iris"),),
    "signed for another namespace": (decision(namespace="git"),),
    "of another kind": (decision(kind="attest"),),
    "break-glass valid for longer than the policy allows": (decision(kind="break_glass", valid=86400),),
    "a denial edited into a grant": (decision(decision="deny", edited={"decision": "grant"}),),
    "with its expiry edited": (decision(starts=-3600, edited={"expires_at": 4e9}),),
    "with another person's name edited in": (decision(person="rosa", edited={"person": "dana"}),),
    "a grant beside a denial": (decision(), decision(person="iris", decision="deny")),
}


@pytest.mark.parametrize("way", FORGED)
def test_an_approval_that_does_not_hold_changes_nothing_and_counts_for_nothing_on_the_record(
    asked: Staffed, way: str
) -> None:
    refused, started = len(asked.world.entries("gate.blocked")), asked.world.started()
    try:
        for forge in FORGED[way]:
            forge(asked)
        done = asked.play()
        assert done.returncode != 0
        assert (asked.world.release, asked.world.started()) == ("2", started), done.stdout
        assert len(asked.world.entries("gate.blocked")) == refused + 1
        assert list(asked.blocking()) == ["approval"]
        assert asked.blocking()["approval"]["given_by"] == []
    finally:
        asked.world.put_back()
        with asked.world.ledger.transaction() as connection:
            connection.execute(delete(approvals))


@pytest.mark.parametrize(
    ("name", "key", "exit_code"),
    [("rosa", "rosa", 3), ("otto", "otto", 3), ("dana", "outside", 3), ("dana", "iris", 3), ("mallory", "outside", 2)],
)
def test_the_command_takes_no_approval_that_would_not_hold(asked: Staffed, name: str, key: str, exit_code: int) -> None:
    try:
        assert asked.approve(name, key).returncode == exit_code
        assert asked.world.entries("approval.granted") == []
    finally:
        with asked.world.ledger.transaction() as connection:
            connection.execute(delete(approvals))


def test_an_honest_approval_lets_its_plan_through_exactly_once(production: Staffed) -> None:
    assert production.approve("dana").returncode == 0
    done = production.play()
    assert (done.returncode, production.world.release, production.world.started()) == (0, "1", 1), done.stdout
    assert production.world.entries("action.started")[-1].data["approved_by"] == ["dana"]
    production.world.put_back()
    assert production.play().returncode != 0
    assert (production.world.release, production.world.started()) == ("2", 1)
    assert production.blocking()["approval"]["expired_or_used"] == ["dana"]


def test_a_used_approval_put_in_again_does_not_hold_a_second_time(production: Staffed) -> None:
    plan = production.plan()
    statement = production.says("approval", plan)
    signature = production.signature(statement, "dana")
    keep(production, statement, signature, plan)
    assert production.play().returncode == 0 and production.world.started() == 1
    production.world.put_back()
    with pytest.raises(Refused, match="given before"):
        keep(production, statement, signature, plan)
    with production.world.ledger.transaction() as connection:
        row = connection.execute(select(approvals)).mappings().one()
        connection.execute(insert(approvals).values({**row, "id": None, "nonce": "another", "used_by": None}))
    assert production.play().returncode != 0
    assert (production.world.release, production.world.started()) == ("2", 1)
    assert production.blocking()["approval"]["given_by"] == []


def test_a_clock_set_back_revives_no_expired_approval(production: Staffed) -> None:
    """The ledger has seen a later hour than the clock now shows."""
    assert production.approve("dana").returncode == 0
    later = Ledger(production.world.ledger.url, clock=lambda: time.time() + 3600)
    with later.transaction() as connection:
        audit.append(connection, later.now(connection), "note.added", "test", "an hour later")
    assert production.play().returncode != 0
    assert (production.world.release, production.world.started()) == ("2", 0)
    assert production.blocking()["approval"]["expired_or_used"] == ["dana"]


def dated_a_day_ahead(here: Staffed) -> None:
    """One entry of a machine whose clock is a day ahead: from then on the ledger's time stands still for a day."""
    ahead = Ledger(here.world.ledger.url, clock=lambda: time.time() + 86400)
    with ahead.transaction() as connection:
        audit.append(connection, ahead.now(connection), "note.added", "test", "tomorrow")


def test_an_approval_does_not_stay_young_while_the_ledger_waits_for_the_clock(production: Staffed) -> None:
    dated_a_day_ahead(production)
    statement = production.says("approval", production.plan())
    keep(production, statement, production.signature(statement, "dana"), production.plan())
    refused = production.play()
    assert (refused.returncode != 0, production.world.release, production.world.started()) == (True, "2", 0)
    assert production.blocking()["approval"]["given_by"] == []
    assert "dated 1440 min ahead of the clock" in production.world.refusals()


def test_no_approval_is_given_while_the_ledger_waits_for_the_clock(production: Staffed) -> None:
    dated_a_day_ahead(production)
    refused = production.approve("dana")
    assert refused.returncode == 3 and "1440 min ahead of the clock" in refused.stderr
    assert production.world.entries("approval.granted") == []


def test_an_approval_is_as_old_as_the_machine_says_whatever_was_done_to_its_clock(production: Staffed) -> None:
    """Signed two hours ago by the time since boot; the time of day was set back meanwhile."""
    said = production.says("approval", production.plan())
    statement = said.model_copy(update={"uptime": said.uptime - 7200})
    keep(production, statement, production.signature(statement, "dana"), production.plan())
    assert production.play().returncode != 0
    assert (production.world.release, production.world.started()) == ("2", 0)
    assert production.blocking()["approval"]["given_by"] == []


@pytest.mark.parametrize("kind", ["break_glass", "approval"])
def test_break_glass_put_in_where_the_policy_does_not_allow_it_does_not_hold(tmp_path: Path, kind: str) -> None:
    """Also where its row calls it an ordinary approval."""
    with staffed(tmp_path, PRODUCTION, break_glass={"allowed": False}) as here:
        decision(kind="break_glass")(_asked(here))
        with here.world.ledger.transaction() as connection:
            connection.execute(update(approvals).values(kind=kind))
        assert here.play().returncode != 0
        assert (here.world.release, here.world.started()) == ("2", 0)
        assert here.blocking()["approval"]["given_by"] == []


def test_one_person_who_approves_twice_is_one_person(tmp_path: Path) -> None:
    with staffed(tmp_path, PRODUCTION, approvals={"needed": {"SEV3": 2}}) as here:
        _asked(here)
        assert [here.approve("dana").returncode for _ in range(2)] == [0, 0]
        here.play()
        assert (here.world.release, here.world.started()) == ("2", 0)
        assert here.blocking()["approval"]["given_by"] == ["dana"]
        assert here.approve("iris").returncode == 0
        here.play()
        assert (here.world.release, here.world.started()) == ("1", 1)


def the_person_leaves(here: Staffed) -> dict[str, Any]:
    path = here.home.folder / "people.yml"
    people = yaml.safe_load(path.read_text())["people"]
    path.write_text(yaml.safe_dump({"people": [person for person in people if person["name"] != "dana"]}))
    return {}


def the_person_loses_her_roles(here: Staffed) -> dict[str, Any]:
    path = here.home.folder / "people.yml"
    people = yaml.safe_load(path.read_text())["people"]
    path.write_text(yaml.safe_dump({"people": [{**p, "roles": p["roles"] * (p["name"] != "dana")} for p in people]}))
    return {}


def the_key_is_replaced(here: Staffed) -> dict[str, Any]:
    write_signers(here, dana="outside")
    return {}


def the_key_is_removed(here: Staffed) -> dict[str, Any]:
    write_signers(here, dana="")
    return {}


def another_release_becomes_current(here: Staffed) -> dict[str, Any]:
    app = here.world.root / "app"
    (app / "releases" / "3").mkdir()
    with (app / "deployments.log").open("a") as log:
        log.write("2026-01-03T00:00:00Z 3\n")
    here.world.put_back("3")
    return {}


def previous_comes_to_mean_another(here: Staffed) -> dict[str, Any]:
    app = here.world.root / "app"
    (app / "releases" / "0").mkdir()
    (app / "deployments.log").write_text("2026-01-01T00:00:00Z 1\n2026-01-01T12:00:00Z 0\n2026-01-02T00:00:00Z 2\n")
    return {}


def an_argument_changes(here: Staffed) -> dict[str, Any]:
    return {"to": "1"}


def the_runbook_changes(here: Staffed) -> dict[str, Any]:
    with (here.world.book / "runbook.yml").open("a") as file:
        file.write("# one more line\n")
    runbook.register(here.home.folder, [here.world.book])
    attest(here)
    return {}


def the_machine_is_another(here: Staffed) -> dict[str, Any]:
    renamed = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    if subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not give a process another machine's name")
    return {"through": renamed}


@pytest.mark.parametrize(
    "change",
    [
        the_person_leaves, the_person_loses_her_roles, the_key_is_replaced, the_key_is_removed,
        another_release_becomes_current, previous_comes_to_mean_another, an_argument_changes, the_runbook_changes, the_machine_is_another,
    ],
)  # fmt: skip
def test_an_approval_is_void_after(production: Staffed, change: Callable[[Staffed], dict[str, Any]]) -> None:
    assert production.approve("dana").returncode == 0
    names = change(production)
    before = production.world.release
    assert production.play(**names).returncode != 0
    assert (production.world.release, production.world.started()) == (before, 0)
    assert list(production.blocking()) == ["approval"]
    assert production.blocking()["approval"]["given_by"] == []


@contextmanager
def closed(root: Path) -> Iterator[Staffed]:
    """The rollback was taken twice and did not last: it is locked out until somebody allows one trial."""
    with staffed(root, STAGING) as here:
        for _ in range(2):
            here.play()
            here.world.put_back()
        yield here


@pytest.fixture(scope="module")
def locked_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    """The same, shared by tests that leave it as it was."""
    with closed(tmp_path_factory.mktemp("staging")) as here:
        yield here


@pytest.fixture(scope="module")
def untried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    """Nobody attested the runbook yet."""
    with staffed(tmp_path_factory.mktemp("untried"), PRODUCTION) as here:
        yield here


def sign_into(here: Staffed, kind: str, subject: str, said: Mapping[str, Any]) -> None:
    """Put a signature straight into the ledger under a kind and a subject, whatever it really says."""
    says = {"kind": kind, "subject": subject, "person": "iris", **said}
    key = says.pop("key", says["person"])
    statement = here.says(**says)
    with here.world.ledger.transaction() as connection:
        plans.add_signature(connection, statement, here.signature(statement, key))
        named = update(signatures).where(signatures.c.nonce == statement.nonce)
        connection.execute(named.values(kind=kind, subject=subject))


def breaker(here: Staffed) -> str:
    """The lockout of the rollback, as `responder status` names it."""
    with here.world.ledger.transaction(reading=True) as connection:
        [name] = (name for name in breakers.tries(connection) if ":release_rollback:" in name)
    return name


CLOSED: dict[str, dict[str, Any] | None] = {
    "nobody's": None,
    "of a person who is not incident commander": {"person": "dana"},
    "of a person without a role": {"person": "otto"},
    "with a key from outside": {"key": "outside"},
    "of another remedy": {"subject": "staging:checkout:bad-release:supervisor_restart"},
    "of another kind": {"kind": "attest"},
    "from before the attempts": {"starts": -3600, "valid": 7200},
    "expired": {"starts": -3600},
    "dated ahead": {"starts": 3600},
}


@pytest.mark.parametrize("way", CLOSED)
def test_a_reset_that_does_not_hold_opens_nothing(locked_out: Staffed, way: str) -> None:
    said, before = CLOSED[way], locked_out.world.started()
    try:
        if said is not None:
            sign_into(locked_out, "reset", breaker(locked_out), said)
        done = locked_out.play()
        assert done.returncode != 0
        assert (locked_out.world.release, locked_out.world.started()) == ("2", before), done.stdout
        assert list(locked_out.blocking()) == ["loop"]
    finally:
        locked_out.world.put_back()
        with locked_out.world.ledger.transaction() as connection:
            connection.execute(delete(signatures))


def test_a_reset_of_the_commander_allows_one_trial(tmp_path: Path) -> None:
    with closed(tmp_path) as here:
        signed = ("--as", "iris", "--key", str(here.key("iris")))
        name = breaker(here)
        misspelt = here.world.responder("reset", f"{name}s", *signed)
        assert misspelt.returncode == 2 and name in misspelt.stderr
        command = ("reset", name, *signed)
        assert here.world.responder(*command).returncode == 0
        for started in (3, 3):
            here.play()
            assert here.world.started() == started
            here.world.put_back()
        assert "loop" in here.blocking()


UNTRIED: dict[str, dict[str, Any] | None] = {
    "nobody's": None,
    "with a key from outside": {"key": "outside"},
    "of another digest": {"subject": "0" * 64},
    "of another kind": {"kind": "reset"},
    "expired": {"starts": -3600},
}


@pytest.mark.parametrize("way", UNTRIED)
def test_an_attestation_that_does_not_hold_passes_for_no_trial(untried: Staffed, way: str) -> None:
    said, digest = UNTRIED[way], untried.home.runbooks.named("roll-back").digest
    try:
        if said is not None:
            sign_into(untried, "attest", digest, said)
        done = untried.play()
        assert done.returncode != 0
        assert (untried.world.release, untried.world.started()) == ("2", 0), done.stdout
        assert list(untried.blocking()) == ["approval", "tested"]
    finally:
        with untried.world.ledger.transaction() as connection:
            connection.execute(delete(signatures))


def test_one_key_is_one_person(tmp_path: Path) -> None:
    with staffed(tmp_path, PRODUCTION) as here:
        _asked(here)
        write_signers(here, iris="dana")
        refused = here.approve("dana")
        assert refused.returncode == 3
        assert "dana and iris have one key" in refused.stderr
        assert here.play().returncode != 0
        assert (here.world.release, here.world.started()) == ("2", 0)
        told = here.world.responder("doctor")
        assert told.returncode == 2 and "dana and iris have one key" in told.stdout


def test_a_key_that_everybody_may_read_is_named_with_its_cure(tmp_path: Path) -> None:
    with staffed(tmp_path, PRODUCTION) as here:
        _asked(here)
        here.key("dana").chmod(0o644)
        refused = here.approve("dana")
        assert refused.returncode == 2
        told = " ".join(refused.stderr.split())
        assert "are too open" in told and f"chmod 600 {here.key('dana')}" in told
