"""Approvals for a team: how many people of which role, by which keys, and what voids what was signed."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import struct
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.history import DAY, History

from sre_responder.approvals import approval
from sre_responder.approvals.approval import NAMESPACE
from sre_responder.engine.step import plan
from sre_responder.errors import InputError, Refused
from sre_responder.home.people import People, Person
from sre_responder.model.gate import Gate
from sre_responder.model.statement import Statement

SECOND = 1 / 60
PRODUCTION = {"environment": "production", "target": "t"}


@pytest.fixture
def history(tmp_path: Path, component: Callable[[str, str], Path]) -> History:
    component("ssh-keygen", "openssh-client")
    return History(tmp_path / "told")


def asked(history: History, minute: float, book: str = "purge", **ask: Any) -> Gate:
    """What the approval gate says of an action in production."""
    return history.asks(minute, book, **{**PRODUCTION, **ask})["approval"]


# How many, and who


@dataclass(frozen=True)
class Signed:
    """A policy for approvals, an action at a severity, and who approves it; `missing` is what the refusal then says."""

    policy: Mapping[str, Any]
    by: Sequence[str]
    missing: str = ""
    book: str = "purge"
    severity: str = "SEV2"


TWO = {"needed": {"SEV2": 2}}
TWO_TO_ROLL_BACK = {"needed_for": {"release_rollback": 2}}
COMMANDED = {"commander_rungs": [3, 4]}
SIGNED: dict[str, Signed] = {
    "one person is enough where the policy says nothing": Signed({}, ["dana"]),
    "nobody is not": Signed({}, [], "needs 1 approval of"),
    "two by severity": Signed(TWO, ["dana", "omar"]),
    "two by severity, one is missing": Signed(TWO, ["dana"], "needs 2 approvals of this exact plan"),
    "two by severity, one signs twice": Signed(TWO, ["dana", "dana"], "has 1"),
    "two by another severity": Signed(TWO, ["dana"], severity="SEV1"),
    "two by action": Signed(TWO_TO_ROLL_BACK, ["dana", "omar"], book="roll-back"),
    "two by action, one is missing": Signed(TWO_TO_ROLL_BACK, ["dana"], "needs 2 approvals", book="roll-back"),
    "two by another action": Signed(TWO_TO_ROLL_BACK, ["dana"]),
    "the action asks for more than the severity": Signed(
        {**TWO, "needed_for": {"http_cache_purge": 3}}, ["dana", "omar"], "needs 3"
    ),
    "the severity asks for more than the action": Signed(
        {**TWO, "needed_for": {"http_cache_purge": 1}}, ["dana"], "needs 2"
    ),
    "more than are needed": Signed(TWO, ["dana", "omar", "iris"]),
    "a rung that needs no commander": Signed(COMMANDED, ["dana"]),
    "a rung that needs a commander": Signed(COMMANDED, ["iris"], book="roll-back"),
    "a rung that needs a commander, an operator signs": Signed(
        COMMANDED, ["dana"], "has 1; one approver must be incident commander", book="roll-back"
    ),
    "a rung that needs a commander, many operators sign": Signed(
        COMMANDED, ["dana", "omar"], "one approver must be incident commander", book="fail-over"
    ),
    "two, one of them a commander": Signed({**TWO, **COMMANDED}, ["dana", "iris"], book="roll-back"),
    "two, the commander alone": Signed({**TWO, **COMMANDED}, ["iris"], "needs 2", book="roll-back"),
}  # fmt: skip


@pytest.mark.parametrize("case", SIGNED)
def test_so_many_of_these_people_approve(history: History, case: str) -> None:
    told = SIGNED[case]
    history.policy(approvals=told.policy).opened(0, told.severity, environment="production")
    asked(history, 1, told.book)
    for person in told.by:
        history.signs(2, person)
    gate = asked(history, 3, told.book)
    assert gate.status == ("failed" if told.missing else "passed"), gate.reason
    assert told.missing in gate.reason
    assert set(gate.evidence["given_by"]) == set(told.by)


def test_a_missing_commander_is_who_can_clear_it(history: History) -> None:
    history.policy(approvals=COMMANDED)
    asked(history, 0, "roll-back")
    history.signs(1, "dana")
    assert asked(history, 2, "roll-back").clears_by == "an incident commander"


def test_one_denial_voids_every_approval(history: History) -> None:
    history.policy(approvals=TWO)
    asked(history, 0)
    history.signs(1, "dana").signs(2, "omar").signs(3, "iris", "deny")
    gate = asked(history, 4)
    assert (gate.status, gate.evidence["given_by"], gate.evidence["denied_by"]) == ("failed", [], ["iris"])


@pytest.mark.parametrize(("person", "words"), [("rosa", "cannot approve their own request"), ("otto", "no role")])
def test_neither_the_requester_nor_a_person_without_a_role_approves(history: History, person: str, words: str) -> None:
    asked(history, 0)
    with pytest.raises(Refused, match=words):
        history.signs(1, person)
    assert asked(history, 2).evidence["given_by"] == []


def test_the_requester_may_deny_what_he_asked_for(history: History) -> None:
    asked(history, 0)
    history.signs(1, "dana").signs(2, "rosa", "deny")
    assert asked(history, 3).status == "failed"


@pytest.mark.parametrize(("minute", "status"), [(31 - SECOND, "passed"), (31 + SECOND, "failed")])
def test_an_approval_holds_for_its_minutes_and_no_longer(history: History, minute: float, status: str) -> None:
    asked(history, 0)
    history.signs(1, "dana")
    assert asked(history, minute).status == status


def test_approvals_of_one_plan_are_used_up_together(history: History) -> None:
    history.policy(approvals={"needed": {"SEV4": 2}})
    once = {"target": "t", "measured": False}
    history.tried(0, "restart", approved_by=["dana", "omar"], **once)
    gate = history.asks(20, "restart", **once)["approval"]
    assert (gate.status, gate.evidence["given_by"]) == ("failed", [])
    assert gate.evidence["expired_or_used"] == ["dana", "omar"]


# Keys


class Room:
    """Keys in a folder, and the allowed_signers that a home would have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.statement = approval.state("approval", "a plan", IRIS, 0, 60)
        for name in ("iris", "dana", "authority"):
            keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key(name))

    def key(self, name: str) -> Path:
        return self.folder / name

    def public(self, name: str) -> str:
        return self.key(f"{name}.pub").read_text().strip()

    def allow(self, *lines: str) -> Room:
        (self.folder / "allowed_signers").write_text("".join(f"{line}\n" for line in lines))
        return self

    def certify(self, *options: str, principal: str = "iris@x", by: str = "authority") -> Path:
        """A certificate of Iris's key."""
        keygen("-q", "-s", self.key(by), "-I", "iris", "-n", principal, "-z", "7", *options, self.key("iris.pub"))
        return self.key("iris-cert.pub")

    def holds(self, key: Path | None = None, statement: Statement | None = None, signature: str = "") -> bool:
        """Whether what was signed holds here and now; by default Iris's own signature."""
        said = statement or self.statement
        files = {"signers": self.key("allowed_signers"), "revoked": self.key("revoked_keys")}
        people = People(people=(IRIS, HANA), **files)
        signature = signature or approval.sign(said, key or self.key(said.person))
        try:
            return approval.verify(said, signature, people).name == said.person
        except Refused:
            return False


IRIS = Person(name="iris", principal="iris@x", roles=("incident_commander",))
HANA = Person(name="hana", principal="hana@x")


def keygen(*arguments: str | Path) -> str:
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def room(tmp_path: Path, component: Callable[[str, str], Path]) -> Room:
    component("ssh-keygen", "openssh-client")
    return Room(tmp_path)


@pytest.fixture
def agent(
    room: Room, component: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """`agent(NAME)` gives a key, and its certificate if it has one, to an agent that from then on alone holds it."""
    add, socket = component("ssh-add", "openssh-client"), room.key("agent")
    command = [component("ssh-agent", "openssh-client"), "-a", socket]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pid = int(said.partition("SSH_AGENT_PID=")[2].partition(";")[0])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))

    def hold(name: str) -> None:
        subprocess.run([add, "-q", room.key(name)], check=True, capture_output=True)
        room.key(name).unlink()

    yield hold
    os.kill(pid, signal.SIGTERM)


def test_a_key_held_by_an_agent_signs_by_its_public_half(room: Room, agent: Callable[[str], None]) -> None:
    agent("iris")
    assert room.allow(f"iris@x {room.public('iris')}").holds(room.key("iris.pub"))


def test_a_key_that_the_agent_does_not_hold_is_said(room: Room, agent: Callable[[str], None]) -> None:
    agent("dana")
    room.key("iris").unlink()
    with pytest.raises(InputError, match=r"signing with .*iris\.pub"):
        approval.sign(room.statement, room.key("iris.pub"))


def test_a_certified_key_held_by_an_agent_signs_by_its_certificate(room: Room, agent: Callable[[str], None]) -> None:
    certificate = room.allow(f"*@x cert-authority {room.public('authority')}").certify()
    agent("iris")
    assert room.holds(certificate)
    assert not room.holds(room.key("iris.pub")), "the bare key is nobody's here"


CERTIFIED: dict[str, tuple[bool, Callable[[Room], Path]]] = {
    "in order": (True, lambda room: room.certify()),
    "for one of two principals": (True, lambda room: room.certify(principal="ops,iris@x")),
    "within its time": (True, lambda room: room.certify("-V", "-1d:+1d")),
    "before its time": (False, lambda room: room.certify("-V", "+1d:+2d")),
    "after its time": (False, lambda room: room.certify("-V", "-2d:-1d")),
    "for another principal": (False, lambda room: room.certify(principal="dana@x")),
    "by another authority": (False, lambda room: room.certify(by="dana")),
    "for a host": (False, lambda room: room.certify("-h")),
    "none, the bare key": (False, lambda room: room.key("iris")),
}


@pytest.mark.parametrize("case", CERTIFIED)
def test_a_certificate_of_the_authority_in_allowed_signers(room: Room, case: str) -> None:
    room.allow(f'*@x cert-authority,namespaces="{NAMESPACE}" {room.public("authority")}')
    expected, certificate = CERTIFIED[case]
    assert room.holds(certificate(room)) is expected


def revoke(room: Room, *what: str | Path) -> None:
    """Write the revocation list as a KRL."""
    keygen("-q", "-k", "-f", room.key("revoked_keys"), *what)


def revoke_serial(room: Room) -> None:
    room.key("list").write_text("serial: 7\n")
    revoke(room, "-s", room.key("authority.pub"), room.key("list"))


REVOKED: dict[str, tuple[bool, Callable[[Room], object]]] = {
    "none": (True, lambda room: None),
    "an empty list": (True, lambda room: room.key("revoked_keys").touch()),
    "another key": (True, lambda room: room.key("revoked_keys").write_text(room.public("dana"))),
    "the key, as a line": (False, lambda room: room.key("revoked_keys").write_text(room.public("iris"))),
    "the key, as the second line": (
        False, lambda room: room.key("revoked_keys").write_text(f"{room.public('dana')}\n{room.public('iris')}\n")
    ),
    "another key, in a KRL": (True, lambda room: revoke(room, room.key("dana.pub"))),
    "the key, in a KRL": (False, lambda room: revoke(room, room.key("iris.pub"))),
    "a list that is none": (False, lambda room: room.key("revoked_keys").write_text("not a list")),
    "a list that is a link to nothing": (False, lambda room: room.key("revoked_keys").symlink_to("nowhere")),
}  # fmt: skip


@pytest.mark.parametrize("case", REVOKED)
def test_a_revoked_key_holds_no_more(room: Room, case: str) -> None:
    room.allow(f"iris@x {room.public('iris')}")
    expected, write = REVOKED[case]
    write(room)
    assert room.holds() is expected


@pytest.mark.parametrize("write", [revoke_serial, lambda room: revoke(room, room.key("authority.pub"))])
def test_a_revoked_certificate_or_authority_holds_no_more(room: Room, write: Callable[[Room], None]) -> None:
    room.allow(f"*@x cert-authority {room.public('authority')}")
    certificate = room.certify()
    assert room.holds(certificate)
    write(room)
    assert not room.holds(certificate)


OPTIONS: dict[str, tuple[bool, str]] = {
    "none": (True, ""),
    "valid until later": (True, 'valid-before="20990101Z"'),
    "valid until lately": (False, 'valid-before="20200101Z"'),
    "valid since lately": (True, 'valid-after="20200101Z"'),
    "valid from later on": (False, 'valid-after="20990101Z"'),
    "valid from lately until later": (True, 'valid-after="20200101Z",valid-before="20990101Z"'),
    "valid in a time that is over": (False, 'valid-after="20200101Z",valid-before="20210101Z"'),
    "for this purpose": (True, f'namespaces="{NAMESPACE}"'),
    "for this purpose among others": (True, f'namespaces="git,{NAMESPACE}"'),
    "for purposes like this": (True, 'namespaces="sre-*"'),
    "for another purpose": (False, 'namespaces="git"'),
    "for all purposes but this": (False, f'namespaces="*,!{NAMESPACE}"'),
    "for this purpose, in a time that is over": (False, f'namespaces="{NAMESPACE}",valid-before="20200101Z"'),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_options_of_a_line_in_allowed_signers_hold(room: Room, case: str) -> None:
    expected, options = OPTIONS[case]
    room.allow(f"iris@x {options} {room.public('iris')}")
    assert room.holds() is expected


def test_the_time_of_a_key_is_over_when_the_ledgers_clock_says_so(
    tmp_path: Path, component: Callable[[str, str], Path]
) -> None:
    """This machine's clock was set back, or the ledger's is a database's own."""
    component("ssh-keygen", "openssh-client")
    history = History(tmp_path / "told", epoch=time.time())
    public = history.key("dana").with_suffix(".pub").read_text()
    over = time.strftime("%Y%m%d", time.gmtime(time.time() + 5 * 86400))
    (history.home.folder / "allowed_signers").write_text(f'dana@example.org valid-before="{over}Z" {public}')
    history.attested(0)
    assert history.asks(1, **PRODUCTION)["tested"].status == "passed"
    assert history.asks(10 * DAY, **PRODUCTION)["tested"].status == "failed"


class Token:
    """A hardware key in software: what a FIDO2 token answers, wrapped as OpenSSH does (PROTOCOL.u2f, .sshsig)."""

    kind, application = b"sk-ssh-ed25519@openssh.com", b"ssh:"

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        self.public = _strings(self.kind, self.private.public_key().public_bytes_raw(), self.application)

    @property
    def line(self) -> str:
        return f"{self.kind.decode()} {base64.b64encode(self.public).decode()}"

    def sign(self, text: str) -> str:
        head = b"SSHSIG"
        wrapped = head + _strings(NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(text.encode()).digest())
        touched = b"\1" + struct.pack(">I", 1)  # somebody was there; the token's counter
        digests = [hashlib.sha256(part).digest() for part in (self.application, wrapped)]
        signed = _strings(self.kind, self.private.sign(digests[0] + touched + digests[1])) + touched
        whole = head + struct.pack(">I", 1) + _strings(self.public, NAMESPACE.encode(), b"", b"sha512", signed)
        lines = textwrap.wrap(base64.b64encode(whole).decode(), 70)
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def _strings(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def test_a_hardware_key_signs_and_hinders_no_other(room: Room) -> None:
    token, said = Token(), approval.state("approval", "a plan", HANA, 0, 60)
    room.allow(f'hana@x namespaces="{NAMESPACE}" {token.line}', f"iris@x {room.public('iris')}")
    assert room.holds(statement=said, signature=token.sign(said.text))
    assert room.holds()


@pytest.mark.parametrize("token", [Token(), None], ids=["of another token", "over another text"])
def test_a_hardware_keys_signature_does_not_hold(room: Room, token: Token | None) -> None:
    own, said = Token(), approval.state("approval", "a plan", HANA, 0, 60)
    room.allow(f"hana@x {own.line}")
    signature = token.sign(said.text) if token else own.sign(said.text.replace("a plan", "b plan"))
    assert not room.holds(statement=said, signature=signature)


def test_a_key_revoked_after_it_signed_counts_for_nothing_from_then_on(history: History) -> None:
    asked(history, 0)
    history.signs(1, "dana")
    (history.home.folder / "revoked_keys").write_text(history.key("dana").with_suffix(".pub").read_text())
    gate = asked(history, 2)
    assert (gate.status, gate.evidence["given_by"]) == ("failed", [])


# Drift

Drift = tuple[str, Any, Any, dict[str, Any]]
"""The field, its old and its new value, and what is asked for differently."""
Change = Callable[[History, pytest.MonkeyPatch], Drift]


def library(history: History, monkeypatch: pytest.MonkeyPatch) -> Drift:
    old = plan.__version__
    monkeypatch.setattr(plan, "__version__", "99.0.0")
    return "basis.library", old, "99.0.0", {}


def runbook(history: History, _: pytest.MonkeyPatch) -> Drift:
    old = history.book("purge").digest
    return "runbook_digest", old, history.edited().book("purge").digest, {}


def limit(section: str, name: str, old: Any, new: Any) -> Change:
    def change(history: History, _: pytest.MonkeyPatch) -> Drift:
        history.policy(**{section: {name: new}})
        return f"basis.limits.{section}.{name}", old, new, {}

    return change


def ask(field: str, old: Any, new: Any, **otherwise: Any) -> Change:
    return lambda history, monkeypatch: (field, old, new, otherwise)


CHANGES: dict[str, Change] = {
    "the runbook is edited": runbook,
    "the library is another": library,
    "an argument is another": ask("arguments.url", "http://a/", "http://b/", arguments={"url": "http://b/"}),
    "an argument is added": ask("arguments.method", None, "BAN", arguments={"url": "http://a/", "method": "BAN"}),
    "an argument is left out": ask("arguments.url", "http://a/", None, arguments={}),
    "the target is another": ask("target", "localhost:t", "localhost:u", target="u"),
    "the state before is another": ask("before.state", "old", "older", before={"state": "older"}),
    "the state before holds more": ask("before.weight", None, 7, before={"state": "old", "weight": 7}),
    "a limit of the loop": limit("loop", "attempts", 2, 9),
    "a limit of rollbacks": limit("rollbacks", "within_window", 3, 9),
    "how long approvals hold": limit("approvals", "valid_minutes", 30, 60),
    "the age of what was tested": limit("tested", "max_age_days", 180, 900),
    "the canary": limit("order", "canary_seconds", 60, 5),
    "the radius": limit("radius", "capacity_left", 0.5, 0.1),
    "what is required": limit("requires", "tested_procedures", True, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_drift_voids_and_is_said_with_old_and_new(
    history: History, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    approved = {"arguments": {"url": "http://a/"}}
    asked(history, 0, **approved)
    history.signs(1, "dana")
    assert asked(history, 2, **approved).status == "passed"
    field, old, new, otherwise = CHANGES[change](history, monkeypatch)
    gate = asked(history, 3, **{**approved, **otherwise})
    assert (gate.status, gate.evidence["given_by"]) == ("failed", [])
    assert gate.evidence["drift"] == [{"field": field, "approved": old, "now": new}]
    assert f"an approved plan does not hold any more: {field} was {str(old)[:60]}" in gate.reason
    assert f"and is {str(new)[:60]}" in gate.reason


@pytest.mark.parametrize(
    "other", [{"run_deadline_minutes": 5}, {"lease": {"seconds": 5}}, {"cascade": {"services": 9}}]
)
def test_a_line_of_the_policy_that_judges_nothing_voids_nothing(history: History, other: dict[str, Any]) -> None:
    asked(history, 0)
    history.signs(1, "dana")
    gate = asked(history.policy(**other), 2)
    assert (gate.status, gate.evidence["drift"]) == ("passed", [])


def test_every_drift_is_on_the_record_and_the_first_three_are_in_the_sentence(history: History) -> None:
    asked(history, 0)
    history.signs(1, "dana")
    gate = asked(history, 2, arguments={"a": 1, "b": 2}, target="u", before={"state": "older"})
    fields = [drift["field"] for drift in gate.evidence["drift"]]
    assert fields == ["arguments.a", "arguments.b", "before.state", "target"]
    assert [field in gate.reason for field in fields] == [True, True, True, False]


def test_a_drift_that_is_taken_back_leaves_the_approval_as_it_was(history: History) -> None:
    asked(history, 0)
    history.signs(1, "dana")
    assert asked(history.edited(), 2).status == "failed"
    assert asked(history.edited(text=""), 3).status == "passed"


def test_what_nobody_approved_has_not_drifted(history: History) -> None:
    asked(history, 0)
    gate = asked(history, 1, target="u")
    assert (gate.evidence["drift"], "does not hold any more" in gate.reason) == ([], False)
