"""Commands of the house: init, doctor, policy, runbooks, lint, ledger."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sre_responder import home as homes
from sre_responder.approvals import approval
from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, done, print_json, say
from sre_responder.drive.vault import encrypted, vault_of
from sre_responder.emergency import cluster_stop, stop
from sre_responder.errors import InputError, ResponderError
from sre_responder.home import policy, runbook
from sre_responder.home.shared import shared
from sre_responder.ledger import Ledger, clock, outbox, rights
from sre_responder.ledger.connection import REVISION
from sre_responder.lint import Finding, findings
from sre_responder.model.names import shown
from sre_responder.record import copying

policies = typer.Typer(no_args_is_help=True, help="The policy file.")
ledgers = typer.Typer(no_args_is_help=True, help="The ledger.")
books = typer.Typer(invoke_without_command=True, help="The runbooks that this home knows.")


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("doctor")(doctor)
    app.command("lint")(lint)
    app.command("completion")(completion)
    app.add_typer(policies, name="policy")
    app.add_typer(books, name="runbooks")
    app.add_typer(ledgers, name="ledger")


def init(
    profile: Annotated[str, typer.Option("--profile", help="homelab, team or production.")] = "production",
    json: Json = False,
) -> None:
    """Write a commented home and an empty ledger; what exists is left as it is."""
    if profile not in policy.PROFILES:
        raise InputError(f"profile '{profile[:40]}' is not known.", cure=f"Use one of {', '.join(policy.PROFILES)}.")
    home = homes.find()
    written = homes.write(home.folder, profile)  # type: ignore[arg-type]
    for path in written:
        say(f"wrote {path}")
    file = home.policy.stop.file
    if not file.parent.is_dir():
        try:
            file.parent.mkdir(parents=True)
            say(f"made {file.parent} for the emergency stop")
        except OSError as error:
            path = home.folder / "policy.yml"
            if path not in written:  # it is the operator's own
                raise InputError(
                    f"the stop file's folder {file.parent} does not exist and cannot be made: {error.strerror}.",
                    cure=f"Make it, or set stop.file in {path}.",
                ) from error
            own = home.folder / "stop" / "EMERGENCY_STOP"
            own.parent.mkdir(exist_ok=True)
            path.write_text(path.read_text(encoding="utf-8").replace(f"file: {file}", f"file: {own}"), encoding="utf-8")
            say(f"{file.parent} cannot be made, so the stop file of this home is {own}")
    ledger = Ledger(home.ledger_url)
    ledger.upgrade()
    done(
        json, f"The ledger is {ledger.name}", home=str(home.folder), ledger=ledger.name, wrote=[str(path) for path in written],
        stop_file=str(homes.find().policy.stop.file),
    )  # fmt: skip


def doctor(json: Json = False) -> None:
    """Check this installation. Exits 2 if something is missing."""
    home = homes.find()

    def ledger() -> None:
        kept = Ledger(home.ledger_url)
        with kept.transaction(reading=True) as connection:  # it exists, can be read and has this library's revision
            ahead = clock.ahead(connection)
        if ahead > clock.SLACK_SECONDS:
            raise InputError(
                f"its last entry is dated {ahead / 60:.0f} min ahead of the clock: until then no approval counts, and no"
                " lockout, limit or containment ends by time.",
                cure="Set the clocks of all machines by the network. To retry what is locked out: responder reset LOCKOUT",
            )

    def stop_file() -> None:
        found = stop.read_file(home.policy.stop.file)
        if found.state != "clear":
            raise InputError(f"{found.state}: {found.reason}")

    def registered() -> None:
        stale = [entry.metadata.id for entry in home.runbooks if not entry.registered]
        if stale:
            raise InputError(
                f"not registered as they are now: {', '.join(stale)}.",
                cure=f"responder runbooks register {' '.join(stale)}",
            )

    def catalogue() -> None:
        if found := home.catalogue.problems:
            raise InputError(
                f"{len(found)} {'entry is' if len(found) == 1 else 'entries are'} wrong.\n" + "\n".join(found)
            )

    def cycles() -> None:
        if found := home.catalogue.cycles():
            rings = "; ".join(" and ".join(ring) for ring in found)
            raise InputError(f"services depend on each other in a ring: {rings}.", cure="Radius counts them all.")

    def environments() -> None:
        if found := shared(home.catalogue.services.values()):
            raise InputError("\n".join(f"{one.problem}. {one.cure}" for one in found))

    def keygen() -> None:
        if shutil.which("ssh-keygen") is None:
            raise InputError("ssh-keygen is not installed.", cure="Install the package openssh-client.")

    def people() -> None:
        known = home.people.people  # read in any case: what is wrong in it disables runs
        if home.policy.requires.approvals and not known:
            raise InputError(
                "people.yml names nobody, so nothing can be approved.", cure="responder people add NAME --key KEY.pub"
            )

    def channels() -> None:
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

    def clusters() -> None:
        states = cluster_stop.asking(home.policy.stop.clusters)()
        if unknown := [f"{one.name}: {state.reason}" for one, state in states.items() if state.word == "unknown"]:
            raise InputError(
                f"a stop may not hold in {'; '.join(unknown)}", cure="See `responder kubernetes manifests`."
            )

    def permissions() -> None:
        named = (home.folder, *(home.folder / name for name in homes.TRUSTED))
        if loose := [str(path) for path in named if path.exists() and path.stat().st_mode & 0o022]:
            raise InputError(
                f"others than you may write {', '.join(loose)}, and so change what the guard believes.",
                cure=f"chmod go-w {shlex.join(loose)}",
            )

    def keys() -> None:
        if shared := home.people.shared_keys():
            raise InputError(
                "; ".join(f"{' and '.join(names)} have one key" for names in shared),
                cure="Give each person a key of their own in allowed_signers: one key is one person.",
            )

    def vault() -> None:
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

    def command() -> None:
        others = [d.name for d in importlib.metadata.distributions() if d.name.lower() == "responder"]
        if others:
            raise InputError(
                "another distribution called 'responder' is installed.", cure="Type sre-responder instead."
            )

    def folders() -> None:
        if found := home.runbooks.broken:
            rows = "\n".join(f"{one.reason} {one.cure}" for one in found)
            raise InputError(f"{len(found)} {'holds' if len(found) == 1 else 'hold'} no usable runbook.\n{rows}")

    def standing() -> None:
        if unknown := home.runbooks.unknown(home.policy.approvals.standing):
            raise InputError(
                f"approvals.standing in policy.yml grants rungs to no registered runbook: {', '.join(map(shown, unknown))}.",
                cure="Review the runbook as it is now, and write its whole digest: responder runbooks --json",
            )

    def weakened() -> None:
        own = [book for book in home.runbooks if not book.shipped]
        if found := [one for book in own for one in findings(book.folder) if one.level == "error"]:
            rows = "\n".join(_line(one) for one in found)
            raise InputError(f"{len(found)} {'line weakens' if len(found) == 1 else 'lines weaken'} a guard.\n{rows}")

    checks: dict[str, Callable[[], object]] = {
        "policy": lambda: home.policy, "catalogue": catalogue, "environments": environments, "dependencies": cycles, "people": people, "ledger": ledger, "stop file": stop_file,
        "runbooks": registered, "folders": folders, "lint": weakened, "standing": standing,
        "permissions": permissions, "keys": keys, "ssh-keygen": keygen, "command": command, "channels": channels,
        "clusters": clusters, "vault": vault,
    }  # fmt: skip
    rows = []
    for name, check in checks.items():
        try:
            check()
            rows.append({"check": name, "ok": True, "problem": "", "cure": ""})
        except ResponderError as error:
            rows.append({"check": name, "ok": False, "problem": error.message, "cure": error.cure})
    ignored = _ignored(home)
    if json:
        print_json({"home": str(home.folder), "ledger": name_of(home.ledger_url), "checks": rows, "ignored": ignored})
    else:
        console.print(f"home {home.folder}\nledger {name_of(home.ledger_url)}", markup=False)
        for row in rows:
            console.print(
                f"  {'ok' if row['ok'] else '--':<3} {row['check']:<12} {row['problem']} {row['cure']}".rstrip(),
                markup=False,
            )
        if ignored:
            console.print(f"  not of the catalogue: {', '.join(ignored)}", markup=False)
    raise typer.Exit(0 if all(row["ok"] for row in rows) else 2)


def name_of(url: str) -> str:
    """A ledger's address without its password; the check named ledger says what is wrong with one that is none."""
    try:
        return Ledger(url).name
    except ResponderError:
        return "not usable"


def _ignored(home: homes.Home) -> list[str]:
    """Files in the catalogue's folder that hold no entity; none where it cannot be read, which its own check says."""
    try:
        return [str(file) for file in home.catalogue.ignored]
    except ResponderError:
        return []


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")],
    name: Annotated[str, typer.Option("--name", help="The command to complete.")] = "responder",
) -> None:
    """Print the completion script of a shell, as in: eval "$(responder completion bash)"."""
    from typer._completion_shared import get_completion_script

    if shell not in ("bash", "zsh", "fish"):
        raise InputError(f"shell '{shown(shell)}' is not known.", cure="Use bash, zsh or fish.")
    if name not in ("responder", "sre-responder"):
        raise InputError(f"'{shown(name)}' is not a command of Responder.", cure="Use responder or sre-responder.")
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    print(get_completion_script(prog_name=name, complete_var=variable, shell=shell))


@policies.command()
def check(json: Json = False) -> None:
    """Errors of the policy with their lines."""
    home = homes.find()
    if json:
        print_json({"file": str(home.folder / "policy.yml"), "profile": home.policy.profile, "errors": []})
    else:
        say(f"{home.folder / 'policy.yml'}: profile {home.policy.profile}, no errors.")


@policies.command()
def schema() -> None:
    """The JSON Schema of the policy."""
    print_json(policy.schema())


@books.callback()
def runbooks(command: typer.Context, json: Json = False) -> None:
    """The runbooks, their digests, and whether they are registered as they are now."""
    if command.invoked_subcommand is not None:
        return
    registry = homes.find().runbooks
    rows = [
        {
            "id": entry.metadata.id, "digest": entry.digest, "registered": entry.registered, "shipped": entry.shipped,
            "failure_class": entry.metadata.failure_class, "folder": str(entry.folder), "summary": entry.metadata.summary,
            "problem": "", "cure": "",
        }
        for entry in registry
    ]  # fmt: skip
    rows += [
        {
            "id": one.folder.name, "digest": None, "registered": False, "shipped": False, "failure_class": None,
            "folder": str(one.folder), "summary": "", "problem": one.reason, "cure": one.cure,
        }
        for one in registry.broken
    ]  # fmt: skip
    if json:
        print_json(rows)
        return
    for row in rows:
        if row["problem"]:
            console.print(f"{row['id']}  cannot be used: {row['problem']} {row['cure']}".rstrip(), markup=False)
            continue
        known = "registered" if row["registered"] else "NOT registered as it is now"
        console.print(f"{row['id']}  {str(row['digest'])[:12]}  {known}\n  {row['summary']}", markup=False)


@books.command("register")
def register(
    which: Annotated[list[str], typer.Argument(help="Ids of runbooks of this home, or folders to copy in.")],
    json: Json = False,
) -> None:
    """Register runbooks by their digest as they are now; errors that the lint finds prevent it."""
    home = homes.find()
    given = {name: _folder(home, name) for name in which}
    found = [finding for folder in given.values() for finding in findings(folder)]
    if problems := [finding for finding in found if finding.level == "error"]:
        raise InputError(
            "\n".join(_line(finding) for finding in problems), cure="Correct the lines named; nothing was registered."
        )
    for finding in found:
        say(_line(finding))
    known = {entry.folder for entry in home.runbooks}
    folders = [
        folder if folder in known or folder.is_relative_to(home.folder.resolve()) else _copied(home, folder)
        for folder in given.values()
    ]
    lock = runbook.register(home.folder, folders)
    digests = {entry.metadata.id: entry.digest for entry in homes.find().runbooks if entry.folder in folders}
    done(json, f"wrote {lock}", wrote=str(lock), registered=digests)


def _folder(home: homes.Home, name: str) -> Path:
    """The folder of a runbook that is given by its id or by its path."""
    path = Path(name)
    if "/" in name or (path / runbook.PLAYBOOK).is_file():
        return runbook.playable(path)
    return home.runbooks.named(name).folder


def _copied(home: homes.Home, folder: Path) -> Path:
    """Copy a runbook into this home, in the place of an earlier version of it, whole."""
    own = home.folder / "runbooks" / runbook.Runbook(folder, None, False).metadata.id
    draft = own.with_name(f".{own.name}.draft")
    try:
        if own.is_symlink() or (own / "..data").is_symlink():
            raise InputError(
                f"{own} is mounted or a link, so it is not overwritten.",
                cure="Change what it leads to, and register that.",
            )
        shutil.rmtree(draft, ignore_errors=True)
        runbook.copy(folder, draft)
        if own.exists():
            shutil.rmtree(own)
        return draft.rename(own)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be copied to {own}: {error.strerror or error}.",
            cure="Let the user of Responder write it.",
        ) from error


@ledgers.command()
def upgrade(json: Json = False) -> None:
    """Make the ledger, or bring it to this library's revision."""
    here = context()
    here.ledger.upgrade()
    done(json, f"{here.ledger.name} is at revision {REVISION}", ledger=here.ledger.name, revision=REVISION)


@ledgers.command()
def grant(
    role: Annotated[str, typer.Argument(help="The role under which Responder connects.")], json: Json = False
) -> None:
    """Give a PostgreSQL role what Responder needs, and no right to change the record; run as the owner of the tables."""
    given = rights.grant(context().ledger, role)
    done(json, "\n".join(f"{table}: {verbs}" for table, verbs in given.items()), role=role, granted=given)


@ledgers.command()
def copy(to: Annotated[str, typer.Argument(help="URL of an empty database.")], json: Json = False) -> None:
    """Copy the ledger into another database, prove it, and leave a stop in the old one."""
    here = context()
    target = Ledger(to)
    verdict = copying.copy(here.ledger, target, approval.requester(here.home.people))
    done(
        json, f"{verdict.entries} entries, whole, in {target.name}. Now set RESPONDER_LEDGER to it everywhere.",
        ledger=target.name, entries=verdict.entries,
    )  # fmt: skip


def lint(
    paths: Annotated[list[Path], typer.Argument(help="Playbooks, or folders of runbooks.")], json: Json = False
) -> None:
    """Find what weakens a guard. Exits 2 if something does; a warning does not."""
    found = [finding for path in paths for finding in findings(path)]
    if json:
        print_json([dataclasses.asdict(finding) for finding in found])
    else:
        for finding in found:
            console.print(_line(finding), markup=False)
        if not found:
            say("No guardrail problems found.")
    raise typer.Exit(2 if any(finding.level == "error" for finding in found) else 0)


def _line(finding: Finding) -> str:
    level = "warning: " if finding.level == "warning" else ""
    return f"{finding.file}:{finding.line}: {level}{finding.rule}: {finding.message}. {finding.cure}"
