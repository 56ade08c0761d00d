"""`responder doctor`: what of this installation is missing or wrong, each with its cure."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from sre_responder import home as homes
from sre_responder.cli.output import Json, console, print_json
from sre_responder.drive.vault import encrypted, vault_of
from sre_responder.emergency import cluster_stop, stop
from sre_responder.errors import InputError, ResponderError
from sre_responder.home import Home
from sre_responder.home.documents import read_documents
from sre_responder.home.shared import shared
from sre_responder.ledger import Ledger, clock, outbox
from sre_responder.lint import findings
from sre_responder.model.names import shown
from sre_responder.system import program
from sre_responder.system.files import opened


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


@dataclass(frozen=True)
class Examined:
    """What one check found: nothing, or a problem with its cure."""

    check: str
    ok: bool
    problem: str = ""
    cure: str = ""


def doctor(json: Json = False) -> None:
    """Check this installation. Exits 2 if something is missing."""
    home = homes.find()
    found, ignored = [_examined(home, name) for name in CHECKS], _ignored(home)
    if json:
        rows = [asdict(one) for one in found]
        print_json({"home": str(home.folder), "ledger": name_of(home.ledger_url), "checks": rows, "ignored": ignored})
    else:
        console.print(f"home {home.folder}\nledger {name_of(home.ledger_url)}", markup=False)
        for one in found:
            line = f"  {'ok' if one.ok else '--':<3} {one.check:<12} {one.problem} {one.cure}".rstrip()
            console.print(line, markup=False)
        if ignored:
            console.print(f"  not of the catalogue: {', '.join(ignored)}", markup=False)
        if differ := _one_sided(home):
            console.print(
                f"  known to one side: {differ} dependencies; see: responder graph list --one-sided", markup=False
            )
    raise typer.Exit(0 if all(one.ok for one in found) else 2)


def _examined(home: Home, name: str) -> Examined:
    try:
        CHECKS[name](home)
    except ResponderError as error:
        return Examined(name, False, error.message, error.cure)
    return Examined(name, True)


def _policy(home: Home) -> None:
    _ = home.policy


def _connections(home: Home) -> None:
    """What is written; whether its secrets can be read is asked by `responder connections test`, with the runs' own environment."""
    _ = home.connections


def _ledger(home: Home) -> None:
    kept = Ledger(home.ledger_url)
    with kept.transaction(reading=True) as connection:  # it exists, can be read and has this library's revision
        ahead = clock.ahead(connection)
    if ahead > clock.SLACK_SECONDS:
        raise InputError(
            f"its last entry is dated {ahead / 60:.0f} min ahead of the clock: until then no approval counts, and no"
            " lockout, limit or containment ends by time.",
            cure="Set the clocks of all machines by the network. To retry what is locked out: responder reset LOCKOUT",
        )


def _stop_file(home: Home) -> None:
    found = stop.read_file(home.policy.stop.file)
    if found.state != "clear":
        raise InputError(f"{found.state}: {found.reason}")


def _registered(home: Home) -> None:
    stale = [entry.metadata.id for entry in home.runbooks if not entry.registered]
    if stale:
        raise InputError(
            f"not registered as they are now: {', '.join(stale)}.",
            cure=f"responder runbooks register {' '.join(stale)}",
        )


def _catalogue(home: Home) -> None:
    if found := home.catalogue.problems:
        raise InputError(f"{len(found)} {'entry is' if len(found) == 1 else 'entries are'} wrong.\n" + "\n".join(found))


def _cycles(home: Home) -> None:
    if found := home.catalogue.cycles():
        rings = "; ".join(" and ".join(ring) for ring in found)
        raise InputError(f"services depend on each other in a ring: {rings}.", cure="Radius counts them all.")


def _graph(home: Home) -> None:
    """Calls that only one side knows are no fault: `responder graph list --one-sided` shows them."""
    for source in home.policy.graph.sources:
        home.connections.of_calls(source)
    kept = Ledger(home.ledger_url)
    with kept.transaction(reading=True) as connection:
        now = kept.now(connection)
    if doubt := home.observed.doubt(home.policy.graph, now):
        raise InputError(f"it is not known who calls whom: {doubt}.", cure="Run: responder graph refresh")


def _environments(home: Home) -> None:
    if found := shared(home.catalogue.services.values()):
        raise InputError("\n".join(f"{one.problem}. {one.cure}" for one in found))


def _keygen(home: Home) -> None:
    if shutil.which("ssh-keygen") is None:
        raise InputError("ssh-keygen is not installed.", cure="Install the package openssh-client.")


def _people(home: Home) -> None:
    known = home.people.people  # read in any case: what is wrong in it disables runs
    if home.policy.requires.approvals and not known:
        raise InputError(
            "people.yml names nobody, so nothing can be approved.", cure="responder people add NAME --key KEY.pub"
        )


def _channels(home: Home) -> None:
    problems = []
    for channel in home.policy.notifications:
        for one in channel.secrets:
            try:
                one.reveal()
            except (OSError, ValueError) as error:
                problems.append(f"{channel.name}: {error}")
    kept = Ledger(home.ledger_url)
    with kept.transaction(reading=True) as connection:
        problems += [one.text for one in outbox.troubles(connection, kept.now(connection))]
    if problems:
        raise InputError(f"{'; '.join(problems)}.", cure="Correct it, then: responder notify test")


def _commands(home: Home) -> None:
    """A program that others could replace is not run, so what it should measure is unknown."""
    if unfit := [why for one in home.policy.commands.values() if (why := program.unfit(Path(one.run[0])))]:
        raise InputError(f"{'; '.join(unfit)}.", cure="Correct it, or the command in policy.yml.")


def _clusters(home: Home) -> None:
    states = cluster_stop.asking(home.policy.stop.clusters)()
    if unknown := [f"{one.name}: {state.reason}" for one, state in states.items() if state.word == "unknown"]:
        raise InputError(f"a stop may not hold in {'; '.join(unknown)}", cure="See `responder kubernetes manifests`.")


def _permissions(home: Home) -> None:
    named = (home.folder, home.slos, *(home.folder / name for name in homes.TRUSTED if name != "slos"))
    if loose := [str(path) for path in named if path.exists() and path.stat().st_mode & 0o022]:
        raise InputError(
            f"others than you may write {', '.join(loose)}, and so change what the guard believes.",
            cure=f"chmod go-w {shlex.join(loose)}",
        )


def _inventory(home: Home) -> None:
    """Ansible only warns about an inventory file that it cannot parse, and continues without its hosts."""
    place = home.inventory
    files = [] if place is None else [place] if place.is_file() else sorted(place.rglob("*.y*ml"))
    for file in files:
        if file.suffix in (".yml", ".yaml") and not encrypted(file):
            for value, _ in read_documents(file):
                if not isinstance(value, dict | None):
                    raise InputError(f"{file} is no inventory.", cure="Write a mapping: all: {hosts: {NAME: {}}}.")


def _revoked(home: Home) -> None:
    """ssh-keygen takes no signature at all while it cannot read what is revoked."""
    path = home.people.revoked
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise InputError(
            f"{path} leads to no file, so no signature holds.", cure="Remove it, or correct where it leads."
        )
    with opened(path) as file:
        text = file.read()
    wrong = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.split(b"#")[0].strip() and b" AAAA" not in line
    ]
    if wrong and not text.startswith(b"SSHKRL"):
        raise InputError(
            f"{path}:{wrong[0]} is no public key, so no signature holds.", cure="Write one public key a line."
        )


def _keys(home: Home) -> None:
    if shared := home.people.shared_keys():
        raise InputError(
            "; ".join(f"{' and '.join(names)} have one key" for names in shared),
            cure="Give each person a key of their own in allowed_signers: one key is one person.",
        )


def _vault(home: Home) -> None:
    if path := home.vault_password_file:
        if not os.access(path, os.R_OK):
            raise InputError(
                f"the vault password file {path} cannot be read.",
                cure="Correct ansible.vault_password_file in policy.yml.",
            )
        if path.stat().st_mode & 0o077 and not os.access(path, os.X_OK):
            raise InputError(
                f"others than you may read the vault password in {path}.",
                cure=f"chmod 600 {shlex.quote(str(path))}",
            )
    elif (found := encrypted(home.inventory)) and not vault_of(os.environ):
        raise InputError(
            f"{found} is encrypted with ansible-vault, and no password is known.",
            cure="Set ansible.vault_password_file in policy.yml.",
        )


def _command(home: Home) -> None:
    others = [d.name for d in importlib.metadata.distributions() if d.name.lower() == "responder"]
    if others:
        raise InputError("another distribution called 'responder' is installed.", cure="Type sre-responder instead.")


def _folders(home: Home) -> None:
    if found := home.runbooks.broken:
        rows = "\n".join(f"{one.reason} {one.cure}" for one in found)
        raise InputError(f"{len(found)} {'holds' if len(found) == 1 else 'hold'} no usable runbook.\n{rows}")


def _standing(home: Home) -> None:
    if unknown := home.runbooks.unknown(home.policy.approvals.standing):
        raise InputError(
            f"approvals.standing in policy.yml grants rungs to no registered runbook: {', '.join(map(shown, unknown))}.",
            cure="Review the runbook as it is now, and write its whole digest: responder runbooks --json",
        )


def _weakened(home: Home) -> None:
    own = [book for book in home.runbooks if not book.shipped]
    if found := [one for book in own for one in findings(book.folder, home.policy, home.slos) if one.level == "error"]:
        rows = "\n".join(str(one) for one in found)
        raise InputError(f"{len(found)} {'line weakens' if len(found) == 1 else 'lines weaken'} a guard.\n{rows}")


def name_of(url: str) -> str:
    """A ledger's address without its password; the check named ledger says what is wrong with one that is none."""
    try:
        return Ledger(url).name
    except ResponderError:
        return "not usable"


def _ignored(home: Home) -> list[str]:
    """Files in the catalogue's folder that hold no entity; none where it cannot be read, which its own check says."""
    try:
        return [str(file) for file in home.catalogue.ignored]
    except ResponderError:
        return []


def _one_sided(home: Home) -> int:
    """How many dependencies only the catalogue knows, or only what was observed; none where nothing was observed."""
    try:
        return sum(edge.one_sided for edge in home.graph.edges()) if home.observed.sources else 0
    except ResponderError:
        return 0


CHECKS: dict[str, Callable[[Home], None]] = {
    "policy": _policy,
    "connections": _connections,
    "catalogue": _catalogue,
    "environments": _environments,
    "dependencies": _cycles,
    "graph": _graph,
    "people": _people,
    "ledger": _ledger,
    "stop file": _stop_file,
    "runbooks": _registered,
    "folders": _folders,
    "lint": _weakened,
    "standing": _standing,
    "permissions": _permissions,
    "keys": _keys,
    "revoked keys": _revoked,
    "inventory": _inventory,
    "ssh-keygen": _keygen,
    "command": _command,
    "channels": _channels,
    "clusters": _clusters,
    "commands": _commands,
    "vault": _vault,
}
"""Each check by its name, in the order in which they are shown; it raises what is wrong."""
