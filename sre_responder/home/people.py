"""People with roles and keys: who may approve, in a file kept in Git."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from sre_responder.errors import InputError
from sre_responder.home.documents import read_model
from sre_responder.home.signers import signers

Role = Literal["operator", "incident_commander"]


class Person(BaseModel):
    """One person; `principal` is the name in allowed_signers under which the key stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    principal: str
    roles: tuple[Role, ...] = ("operator",)
    logins: tuple[str, ...] = ()
    """User names of machines and of AWX by which this person requests runs; none approves what one of them asked for."""


class People(BaseModel):
    """Everybody who may sign."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    people: tuple[Person, ...] = ()
    signers: Path = Path("allowed_signers")
    revoked: Path = Path("revoked_keys")
    """Keys that hold no more, in any format that `ssh-keygen -r` reads; missing means none."""

    @model_validator(mode="after")
    def _distinct(self) -> People:
        """One word leads to one person: else somebody could ask under a login and approve as its other owner."""
        words = [word for person in self.people for word in {person.name, person.principal, *person.logins}]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"name, principal or login of two people: {', '.join(twice)}")
        return self

    def named(self, name: str) -> Person:
        """The person of that name, principal or login."""
        for person in self.people:
            if name in (person.name, person.principal, *person.logins):
                return person
        known = ", ".join(person.name for person in self.people) or "nobody yet"
        raise InputError(f"'{name[:60]}' is not in people.yml.", cure=f"Known: {known}.")

    def shared_keys(self) -> list[tuple[str, ...]]:
        """Names of people who have one key between them: a signature by it does not tell who it was."""
        text = self.signers.read_text(encoding="utf-8", errors="replace") if self.signers.is_file() else ""
        owners: dict[str, set[str]] = {}
        for one in signers(text):
            if not one.authority:  # that signs the keys of many
                owners.setdefault(one.blob, set()).update(
                    person.name
                    for person in self.people
                    if any(fnmatchcase(person.principal, pattern) for pattern in one.principals)
                )
        return sorted(tuple(sorted(names)) for names in owners.values() if len(names) > 1)

    def identity(self, login: str) -> str:
        """The name of the person behind a login, or the login itself."""
        return next((p.name for p in self.people if login in (p.name, p.principal, *p.logins)), login)


def load(path: Path, signers: Path) -> People:
    """The people file; a missing one means that nobody may approve."""
    known = read_model(People, path) if path.exists() else People()
    for file in (signers, signers.with_name("revoked_keys")):
        if file.exists() and not file.is_file():  # ssh-keygen would wait for a pipe
            raise InputError(f"{file} is not a file.", cure="Write a file in its place.")
    return known.model_copy(update={"signers": signers, "revoked": signers.with_name("revoked_keys")})
