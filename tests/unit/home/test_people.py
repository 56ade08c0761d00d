"""The people file: who may sign, by which names they are known, and that nobody is two people."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.home import people
from sre_responder.home.people import People, Person

DANA = Person(name="dana", principal="dana@example.org", logins=("awx-dana", "root"))
IRIS = Person(name="iris", principal="iris@example.org", roles=("incident_commander",))
BOTH = People(people=(DANA, IRIS))


def load(tmp_path: Path, text: str | None) -> People:
    path = tmp_path / "people.yml"
    if text is not None:
        path.write_text(text)
    return people.load(path, tmp_path / "allowed_signers")


def test_people_of_the_file_have_roles_logins_and_the_signers_beside_it(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "people:\n"
        "  - {name: dana, principal: dana@example.org, logins: [awx-dana, root]}\n"
        "  - {name: iris, principal: iris@example.org, roles: [incident_commander]}\n"
        "signers: /somewhere/else\n",
    )
    assert found.people == (DANA, IRIS)
    assert found.signers == tmp_path / "allowed_signers", "the file cannot name other keys"


@pytest.mark.parametrize("text", [None, "", "people: []\n"])
def test_without_people_nobody_may_approve(tmp_path: Path, text: str | None) -> None:
    found = load(tmp_path, text)
    assert found.people == ()
    with pytest.raises(InputError, match=r"'dana' is not in people\.yml"):
        found.named("dana")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("people:\n  - name: dana\n", 2, "people.0.principal: Field required"),
        ("people:\n  - {name: dana, principal: d, roles: [boss]}\n", 2, "'operator' or 'incident_commander'"),
        ("people:\n  - {name: dana, principal: d}\n  - {name: iris, principal: i, role: x}\n", 3, "people.1.role"),
        ("people:\n  - {name: dana, principal: d}\n  - {name: dana, principal: e}\n", 1, "two people: dana"),
        ("people:\n  - {name: dana, principal: d}\n  - {name: iris, principal: d}\n", 1, "two people: d"),
        (
            "people:\n  - {name: dana, principal: d, logins: [ops]}\n  - {name: iris, principal: i, logins: [ops]}\n",
            1,
            "ops",
        ),
        ("people:\n  - {name: dana, principal: d, logins: [iris]}\n  - {name: iris, principal: i}\n", 1, "iris"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InputError) as raised:
        load(tmp_path, text)
    assert raised.value.message.startswith(f"{tmp_path / 'people.yml'}:{line}: ")
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("name", "person"),
    [("dana", DANA), ("dana@example.org", DANA), ("awx-dana", DANA), ("root", DANA), ("iris", IRIS)],
)
def test_a_person_is_found_by_name_principal_and_login(name: str, person: Person) -> None:
    assert BOTH.named(name) == person
    assert BOTH.identity(name) == person.name


def test_an_unknown_person_is_refused_with_those_who_are_known() -> None:
    with pytest.raises(InputError, match=r"'eve' is not in people\.yml") as raised:
        BOTH.named("eve")
    assert raised.value.cure == "Known: dana, iris."


@given(st.text())
def test_a_login_of_nobody_stays_as_it_is(login: str) -> None:
    known = {name for person in BOTH.people for name in (person.name, person.principal, *person.logins)}
    assert login in known or BOTH.identity(login) == login
