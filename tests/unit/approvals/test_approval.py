"""Signatures under real SSH keys: what holds, and every way in which it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sre_responder.approvals import approval
from sre_responder.errors import InputError, Refused
from sre_responder.home.people import People, Person

IRIS = Person(name="iris", principal="iris@x", roles=("incident_commander",))
DANA = Person(name="dana", principal="dana@x")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("iris", "dana", "outside"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    known = [f'{n}@x namespaces="sre-responder" {(folder / f"{n}.pub").read_text()}' for n in ("iris", "dana")]
    (folder / "allowed_signers").write_text("".join(known))
    return folder


def people(keys: Path) -> People:
    return People(people=(IRIS, DANA), signers=keys / "allowed_signers")


def test_a_persons_own_signature_holds(keys: Path) -> None:
    statement = approval.state("approval", "p", IRIS, 0, 60)
    assert approval.verify(statement, approval.sign(statement, keys / "iris"), people(keys)) == IRIS


@pytest.mark.parametrize("key", ["dana", "outside"])
def test_a_signature_of_another_key_does_not_hold(keys: Path, key: str) -> None:
    statement = approval.state("approval", "p", IRIS, 0, 60)
    with pytest.raises(Refused, match="does not hold"):
        approval.verify(statement, approval.sign(statement, keys / key), people(keys))


@pytest.mark.parametrize(
    "change", [{"subject": "q"}, {"expires_at": 9e9}, {"decision": "deny"}, {"person": "dana"}, {"nonce": "0"}]
)
def test_a_changed_statement_does_not_hold(keys: Path, change: dict[str, object]) -> None:
    statement = approval.state("approval", "p", IRIS, 0, 60)
    signature = approval.sign(statement, keys / "iris")
    with pytest.raises(Refused):
        approval.verify(statement.model_copy(update=change), signature, people(keys))


def test_a_signature_made_for_another_purpose_does_not_hold(keys: Path) -> None:
    statement = approval.state("approval", "p", IRIS, 0, 60)
    signature = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(keys / "iris")],
        input=statement.text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with pytest.raises(Refused):
        approval.verify(statement, signature, people(keys))


def test_a_person_who_is_not_in_the_file_is_bad_input(keys: Path) -> None:
    statement = approval.state("approval", "p", Person(name="eve", principal="eve@x"), 0, 60)
    with pytest.raises(InputError, match="eve"):
        approval.verify(statement, "", people(keys))


def test_a_role_that_is_missing_is_said() -> None:
    with pytest.raises(Refused, match="not incident commander"):
        approval.require_role(DANA, "incident_commander", "x")
