"""People are added by a command: the files stay readable, and one key is one person."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from sre_responder import cli
from sre_responder import home as homes
from sre_responder.approvals import approval
from sre_responder.home import people

Add = Callable[..., Result]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ann", "ben"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return {name: folder / name for name in ("ann", "ben")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("RESPONDER_HOME", str(folder))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    homes.write(folder, "team")
    return folder


def add(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["people", "add", *map(str, words)])


def known(home: Path) -> people.People:
    return people.load(home / "people.yml", home / "allowed_signers")


def test_a_person_who_was_added_can_sign(home: Path, keys: dict[str, Path]) -> None:
    done = add(
        "ann", "--key", f"{keys['ann']}.pub", "--role", "operator", "--role", "incident_commander", "--login", "a"
    )
    assert done.exit_code == 0, done.output
    [ann] = known(home).people
    assert (ann.name, ann.principal, ann.roles, ann.logins) == (
        "ann",
        "ann",
        ("operator", "incident_commander"),
        ("a",),
    )
    statement = approval.state("lift", "STOP-1", ann, 1000.0, 60)
    assert approval.verify(statement, approval.sign(statement, keys["ann"]), known(home)) == ann


def test_a_private_key_stands_for_the_public_one_beside_it_and_is_never_written(
    home: Path, keys: dict[str, Path]
) -> None:
    assert add("ann", "--key", keys["ann"]).exit_code == 0
    line = (home / "allowed_signers").read_text()
    kind, blob, *_ = keys["ann"].with_suffix(".pub").read_text().split()
    assert line == f'ann namespaces="sre-responder" {kind} {blob}\n'


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("# only words\n", ["# only words"]),
        ("", []),
        ("people: [{name: iris, principal: i@x}]  # one line\n", ["# one line"]),
        ("people:\n  - name: iris\n    principal: i@x\n    roles:\n      - operator  # only\n# end", ["# only", "# end"]),
        ("people:\n  - {name: iris, principal: i@x}", []),
        ("people: []  # nobody\n", []),
        ("# top\npeople:\n  # the lead\n  - {name: iris, principal: i@x}  # on leave\n", ["# top", "  # the lead", "# on leave"]),
        ("people:\n- name: iris\n  principal: 'i@x'\n\n# tail\n", ["'i@x'", "# tail"]),
    ],
)  # fmt: skip
def test_the_words_of_the_file_are_kept(home: Path, keys: dict[str, Path], before: str, kept: list[str]) -> None:
    (home / "people.yml").write_text(before)
    names = [person.name for person in known(home).people]
    assert add("ann", "--key", keys["ann"]).exit_code == 0
    text = (home / "people.yml").read_text()
    assert [person.name for person in known(home).people] == [*names, "ann"]
    assert all(words in text for words in kept)


def test_the_file_that_init_writes_keeps_its_examples(home: Path, keys: dict[str, Path]) -> None:
    comments = [line for line in (home / "people.yml").read_text().splitlines() if line.startswith("#")]
    add("ann", "--key", keys["ann"])
    assert [line for line in (home / "people.yml").read_text().splitlines() if line.startswith("#")] == comments


@pytest.mark.parametrize("name", ["yes", "null", "1e3", "12", "2026-01-01", "no", "0x1F", "_", "a@b", "1.5"])
def test_a_name_that_yaml_reads_as_something_else_stays_that_name(home: Path, keys: dict[str, Path], name: str) -> None:
    assert add(name, "--key", keys["ann"]).exit_code == 0
    assert [person.name for person in known(home).people] == [name]


def test_a_file_that_nothing_can_be_added_to_is_left_as_it_is(home: Path, keys: dict[str, Path]) -> None:
    text = "all: &all\n  - {name: iris, principal: i@x}\npeople: *all\n"
    (home / "people.yml").write_text(text)
    assert add("ann", "--key", keys["ann"]).exception is not None
    assert (home / "people.yml").read_text() == text
    assert (home / "allowed_signers").read_text() == ""


def test_a_key_that_another_person_has_is_refused(home: Path, keys: dict[str, Path]) -> None:
    add("ann", "--key", keys["ann"])
    before = (home / "people.yml").read_text(), (home / "allowed_signers").read_text()
    refused = add("ben", "--key", keys["ann"])
    assert "already belongs to ann" in str(refused.exception)
    assert ((home / "people.yml").read_text(), (home / "allowed_signers").read_text()) == before


def test_a_line_of_allowed_signers_without_its_end_is_ended_first(home: Path, keys: dict[str, Path]) -> None:
    (home / "allowed_signers").write_text("iris " + keys["ben"].with_suffix(".pub").read_text().strip())
    add("ann", "--key", keys["ann"])
    assert [line.split()[0] for line in (home / "allowed_signers").read_text().splitlines()] == ["iris", "ann"]


@pytest.mark.parametrize(
    "words",
    [
        ("ann",), ("ben", "--role", "king"), ("ben", "--login", "root"), ("ben", "--principal", "ann"), ("root",), ("a b",), ("*",), ("",), ("a,b",),
        ("ben\n",), ("ben", "--login", "x y"), ("!ben",), ('b"en',),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_or_no_name_is_refused_and_writes_nothing(
    home: Path, keys: dict[str, Path], words: tuple[str, ...]
) -> None:
    add("ann", "--key", keys["ann"], "--login", "root")
    before = (home / "people.yml").read_text(), (home / "allowed_signers").read_text()
    refused = add(*words, "--key", keys["ben"])
    assert type(refused.exception).__name__ == "InputError"
    assert ((home / "people.yml").read_text(), (home / "allowed_signers").read_text()) == before


@pytest.mark.parametrize(
    "text", ["", "words", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E= x\nssh-rsa AAAAB3NzaC1yc2E= y", "\x00"]
)
def test_what_is_no_public_key_is_refused(home: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "no.pub").write_text(text)
    assert "is not one public SSH key" in str(add("ann", "--key", tmp_path / "no.pub").exception)


def test_people_are_listed_with_what_they_sign_with(home: Path, keys: dict[str, Path]) -> None:
    add("ann", "--key", keys["ann"], "--login", "root")
    (home / "people.yml").write_text((home / "people.yml").read_text() + "  - {name: iris, principal: i@x}\n")
    listed = CliRunner().invoke(cli.app, ["people", "--json"])
    assert [(one["name"], one["keys"]) for one in json.loads(listed.stdout)] == [("ann", ["ssh-ed25519"]), ("iris", [])]
    assert "none, so they cannot sign" in CliRunner().invoke(cli.app, ["people"]).output
    assert yaml.safe_load((home / "people.yml").read_text())["people"][0]["logins"] == ["root"]
