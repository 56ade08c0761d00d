"""Adding a person and their key to the home, with the comments of its files kept."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.documents import read_text
from sre_responder.home.people import People, Person
from sre_responder.home.signers import KEY, signers
from sre_responder.model.names import shown

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}", re.ASCII)


def enroll(home: Home, person: Person, key: Path) -> list[Path]:
    """Add a person who is not known yet, and the key by which they sign. Return the files written."""
    for word in (person.name, person.principal, *person.logins):
        if not _NAME.fullmatch(word):
            raise InputError(
                f"'{shown(word, 64)}' is not a valid name.", cure="Use letters, digits and _ . + @ -, at most 64."
            )
    public = public_key(key)
    file, listed = home.folder / "people.yml", home.people.signers
    if taken := next((one.name for one in home.people.people if _words(one) & _words(person)), None):
        raise InputError(
            f"{taken} in {file} already has one of these names.",
            cure="Use another name or login. To change a person, edit the file.",
        )
    lines = read_text(listed) if listed.exists() else ""
    blob = public.split()[1]
    if owner := next((one.principals for one in signers(lines) if one.blob == blob), None):
        raise InputError(
            f"this key already belongs to {shown(','.join(owner))}.", cure="Use a key of this person's own."
        )
    people = _added(read_text(file) if file.exists() else "", person)
    gap = "" if lines.endswith("\n") or not lines else "\n"
    _write(listed, f'{lines}{gap}{person.principal} namespaces="sre-responder" {public}\n')
    _write(file, people)
    return [file, listed]


def public_key(key: Path) -> str:
    """The kind and the text of a public key, from its own file or from the one beside a private key."""
    key = key.expanduser()
    if key.suffix != ".pub" and (beside := Path(f"{key}.pub")).exists():
        key = beside
    found = [line for line in read_text(key).splitlines() if line.strip() and not line.startswith("#")]
    match = KEY.match(found[0]) if len(found) == 1 else None
    if match is None or not _is_key(match[0]):
        raise InputError(f"{key} is not one public SSH key.", cure="Name the .pub file that ssh-keygen wrote.")
    return f"{match['kind']} {match['blob']}"


def kinds_of_keys(people: People) -> dict[str, list[str]]:
    """For each person, the kinds of the keys that are listed under their principal."""
    listed = list(signers(read_text(people.signers))) if people.signers.exists() else []
    return {person.name: [one.kind for one in listed if person.principal in one.principals] for person in people.people}


def _is_key(text: str) -> bool:
    try:
        done = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError("ssh-keygen is not installed.", cure="Install the package openssh-client.") from error
    return done.returncode == 0


def _words(person: Person) -> set[str]:
    return {person.name, person.principal, *person.logins}


def _added(text: str, person: Person) -> str:
    """The text of the people file with one person more. InputError if it is written in a way that this cannot add to."""
    fields = {"name": person.name, "principal": person.principal, "roles": person.roles, "logins": person.logins}
    entry = f"{{{', '.join(f'{key}: {_yaml(value)}' for key, value in fields.items() if value)}}}"
    more = _inserted(text, entry)
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(more)
    plain = {key: [*value] if isinstance(value, tuple) else value for key, value in fields.items() if value}
    if after != {**before, "people": [*(before.get("people") or []), plain]}:
        raise InputError("people.yml is written in a way that nothing can be added to.", cure=f"Add by hand: - {entry}")
    return more


def _inserted(text: str, entry: str) -> str:
    root = yaml.compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    known = next((value for key, value in pairs if key.value == "people"), None)
    if not isinstance(known, yaml.SequenceNode):
        return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}people:\n  - {entry}\n"
    start, end = known.start_mark.index, known.end_mark.index
    if not known.value:
        return f"{text[:start]}\n  - {entry}{text[end:]}"
    if known.flow_style:
        return f"{text[: end - 1]}, {entry}{text[end - 1 :]}"
    line_end = text.find("\n", _end(known))
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{' ' * known.start_mark.column}- {entry}{text[line_end:]}"


def _end(node: yaml.Node) -> int:
    """Where the last thing of a node ends; the end of a block is only known by what is in it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[-1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _yaml(value: str | Sequence[str]) -> str:
    if not isinstance(value, str):
        return f"[{', '.join(map(_yaml, value))}]"
    return value if yaml.safe_load(value) == value else f'"{value}"'


def _write(path: Path, text: str) -> None:
    """All of a file or nothing of it, with the rights that it has."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        draft.replace(path.resolve())
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}.", cure="Check its rights.") from error
