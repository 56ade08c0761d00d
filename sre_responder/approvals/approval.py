"""What people sign: statements under their own SSH keys, verified offline against allowed_signers."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sre_responder.errors import InputError, Refused
from sre_responder.home.people import People, Person, Role
from sre_responder.model.names import shown
from sre_responder.model.statement import Kind, Statement
from sre_responder.system.process import since_boot

NAMESPACE = "sre-responder"
_TIMEOUT_SECONDS = 120  # a hardware key waits for a finger


def state(  # noqa: PLR0913 - each is a part of what is signed
    kind: Kind,
    subject: str,
    person: Person,
    now: float,
    valid_seconds: float,
    *,
    decision: Literal["grant", "deny"] = "grant",
    note: str = "",
) -> Statement:
    """A new statement with its own nonce."""
    boot, uptime = since_boot()
    return Statement(
        kind=kind, subject=subject, decision=decision, person=person.name, nonce=secrets.token_hex(16),
        signed_at=now, expires_at=now + valid_seconds,
        boot=boot, uptime=uptime, note=note,
    )  # fmt: skip


def outlived(statement: Statement) -> bool:
    """Whether it is older than it may be by this machine's own clock, whatever was done to the time of day since."""
    boot, uptime = since_boot()
    return (
        bool(boot) and statement.boot == boot and uptime - statement.uptime > statement.expires_at - statement.signed_at
    )


def sign(statement: Statement, key: Path) -> str:
    """The SSH signature of a statement by a key file, or by the agent where `key` is a public key."""
    if not key.exists():
        raise InputError(f"key {key} does not exist.", cure="Name your SSH key with --key.")
    return _keygen(["-Y", "sign", "-n", NAMESPACE, "-f", str(key)], statement.text, f"signing with {key}")


def verify(statement: Statement, signature: str, people: People, at: float | None = None) -> Person:
    """The person who signed; Refused where the signature, the key or the person does not hold.

    `at` (seconds since the epoch) is when the key must be valid, as the ledger's clock says it; default is now.
    """
    person = people.named(statement.person)
    if not person.roles:
        raise Refused(f"{person.name} has no role in people.yml.", cure="Ask one who has.")
    if not people.signers.is_file():
        raise Refused(
            f"{people.signers} does not exist, so no signature can be verified.", cure="Put it into the home."
        )
    if shared := [names for names in people.shared_keys() if person.name in names]:
        raise Refused(
            f"{' and '.join(shared[0])} have one key, so a signature by it does not tell who it was.",
            cure="Give each a key of their own in allowed_signers.",
        )
    with tempfile.NamedTemporaryFile("w", suffix=".sig", encoding="ascii", errors="replace") as file:
        file.write(signature)
        file.flush()
        limits = ["-r", str(people.revoked)] if os.path.lexists(people.revoked) else []
        if at is not None:
            limits += ["-O", f"verify-time={datetime.fromtimestamp(at, UTC):%Y%m%d%H%M%S}Z"]
        who = ["-f", str(people.signers), "-I", person.principal, "-n", NAMESPACE, *limits]
        try:
            _keygen(["-Y", "verify", *who, "-s", file.name], statement.text, "verifying")
        except InputError as error:
            raise Refused(f"the signature of {person.name} does not hold: {error.message}") from error
    return person


def _keygen(arguments: Sequence[str], text: str, doing: str) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{doing}: ssh-keygen is not installed.", cure="Install the package openssh-client."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{doing}: ssh-keygen gave no answer in {_TIMEOUT_SECONDS} s.", cure="Try again.") from error
    if done.returncode:
        raise InputError(f"{doing}: {_said(done.stderr or done.stdout)}.", cure=_cure(done.stderr))
    return done.stdout


def _said(text: str) -> str:
    """All that ssh-keygen said, without its frame: the reason often stands above the last line."""
    lines = [line.strip(" .\r") for line in text.splitlines() if line.strip() and not line.startswith("@")]
    return "; ".join(shown(line) for line in lines[-5:]) or "no reason given"


def _cure(text: str) -> str:
    if found := re.search(r"Permissions 0\d+ for '([^']+)' are too open", text):
        return f"chmod 600 {shlex.quote(found.group(1))}"
    return "Check the key and allowed_signers."


def require_role(person: Person, role: Role, why: str) -> None:
    """Refused unless the person has that role."""
    if role not in person.roles:
        raise Refused(
            f"{person.name} is not {role.replace('_', ' ')}: {why}.",
            cure=f"Ask one who is; {person.name} has {', '.join(person.roles)}.",
        )


def requester(people: People) -> str:
    """Who asks: the person behind the user of this process, or behind sudo. Never a name that the environment alone gives."""
    uid = os.getuid()
    behind = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    try:
        return people.identity(behind or pwd.getpwuid(uid).pw_name)
    except KeyError:  # a container whose user has a number and no name
        return people.identity(f"uid-{uid}")


def default_key() -> Path:
    """The key that the person already signs with: git's, else the first of OpenSSH's own."""
    try:
        git = subprocess.run(["git", "config", "user.signingkey"], capture_output=True, text=True, check=False)
        named = git.stdout.strip()
    except OSError:  # no git, or none that may be run: OpenSSH's own keys are left
        named = ""
    candidates = [Path(named).expanduser()] if named.startswith(("/", "~")) else []
    candidates += [Path.home() / ".ssh" / name for name in ("id_ed25519_sk", "id_ed25519", "id_ecdsa", "id_rsa")]
    for key in candidates:
        if key.exists():
            return key
    raise InputError("no SSH key was found.", cure="Name yours with --key.")
