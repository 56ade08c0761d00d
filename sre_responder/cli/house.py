"""Commands of the house: init, policy, runbooks, lint, ledger, completion."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sre_responder import home as homes
from sre_responder.approvals import approval
from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, done, print_json, say
from sre_responder.errors import InputError
from sre_responder.home import policy, rule, runbook
from sre_responder.home.documents import read_model
from sre_responder.ledger import Ledger, rights
from sre_responder.ledger.connection import REVISION
from sre_responder.lint import Finding, findings, undocumented
from sre_responder.model.names import shown
from sre_responder.record import copying

policies = typer.Typer(no_args_is_help=True, help="The policy file.")
ledgers = typer.Typer(no_args_is_help=True, help="The ledger.")
books = typer.Typer(invoke_without_command=True, help="The runbooks that this home knows.")


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)
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


@policies.command("test")
def test_(
    cases: Annotated[Path, typer.Argument(help="A file of cases: name, facts, and what the rules should say.")],
    json: Json = False,
) -> None:
    """Try the policy's rules on cases of your own. Exits 2 if they say something else.

    responder policy test rules_test.yml
    """
    rules = homes.find().policy.rules
    found = [(case.name, case.wrong(rules)) for case in read_model(rule.Cases, cases).root]
    if not found:
        raise InputError(f"{cases} has no cases.", cure="Write a list of {name, facts, refuses, approvals}.")
    if json:
        print_json({"cases": [{"name": name, "ok": not wrong, "wrong": wrong} for name, wrong in found]})
    else:
        for name, wrong in found:
            console.print(f"{'--' if wrong else 'ok'}  {name}{': ' if wrong else ''}{'; '.join(wrong)}", markup=False)
    if any(wrong for _, wrong in found):
        raise typer.Exit(2)


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
    found = _findings(home, given.values())
    if problems := [finding for finding in found if finding.level == "error"]:
        raise InputError(
            "\n".join(str(finding) for finding in problems), cure="Correct the lines named; nothing was registered."
        )
    for finding in found:
        say(str(finding))
    known = {entry.folder for entry in home.runbooks}
    folders = [
        folder if folder in known or folder.is_relative_to(home.folder.resolve()) else _copied(home, folder)
        for folder in given.values()
    ]
    lock = runbook.register(home.folder, folders)
    digests = {entry.metadata.id: entry.digest for entry in homes.find().runbooks if entry.folder in folders}
    done(json, f"wrote {lock}", wrote=str(lock), registered=digests)


def _findings(home: homes.Home, paths: Iterable[Path]) -> list[Finding]:
    """What is wrong with playbooks and runbooks; in production also with what a person would read of a runbook."""
    rules = home.policy if (home.folder / "policy.yml").exists() else policy.Policy(profile="homelab")
    production = rules.profile == "production"
    slos = home.folder / rules.slos.expanduser()
    return [
        one for path in paths for one in (*findings(path, rules, slos), *(undocumented(path) if production else ()))
    ]


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
    """Find what weakens a guard, and in production what a README lacks. Exits 2 if there is any; a warning does not."""
    found = _findings(homes.find(), paths)
    if json:
        print_json([dataclasses.asdict(finding) for finding in found])
    else:
        for finding in found:
            console.print(str(finding), markup=False)
        if not found:
            say("No guardrail problems found.")
    raise typer.Exit(2 if any(finding.level == "error" for finding in found) else 0)
