"""Commands by which people decide: approve, deny, approvals, attest, reset, lift."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from sre_responder import home as homes
from sre_responder.approvals import approval, break_glass, enroll, sign_off
from sre_responder.cli.context import Context, context
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.errors import InputError
from sre_responder.guard.breakers import locked_out, tries
from sre_responder.home.documents import read_text
from sre_responder.home.people import Person, Role
from sre_responder.ledger import plans
from sre_responder.model.names import shown

glass = typer.Typer(no_args_is_help=True, help="Offline (break-glass) approvals and their reviews.")
known = typer.Typer(invoke_without_command=True, help="Who may sign, and with which keys.")
Key = Annotated[Path | None, typer.Option("--key", help="Your SSH key, or its public half when an agent holds it.")]
Name = Annotated[
    str | None, typer.Option("--as", help="Who you are in people.yml; default is the person of this login.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; for terminals that cannot be asked.")]


def add_to(app: typer.Typer) -> None:
    for command in (approve, deny, approvals, attest, reset, lift):
        app.command(command.__name__)(command)
    app.add_typer(known, name="people")
    app.add_typer(glass, name="break-glass")


def _person(here: Context, name: str | None) -> Person:
    return here.home.people.named(name or approval.requester(here.home.people))


def approve(
    plan: Annotated[list[str], typer.Argument(help="Digests of plans, or their first digits.")],
    key: Key = None,
    name: Name = None,
    yes: Yes = False,
    note: Annotated[str, typer.Option("--note", help="Why; on the record.")] = "",
    json: Json = False,
) -> None:
    """Show a plan, its target, difference, gates and radius, and sign it.

    \b
    responder approvals
    responder approve c1b2fb2c0f2c --note "checked with the database team"
    """
    _decide(plan, key, name, yes, note, json, "grant")


def deny(
    plan: Annotated[list[str], typer.Argument(help="Digests of plans, or their first digits.")],
    key: Key = None,
    name: Name = None,
    yes: Yes = False,
    note: Annotated[str, typer.Option("--note", help="Why; on the record.")] = "",
    json: Json = False,
) -> None:
    """Refuse a plan; one denial voids every approval of it."""
    _decide(plan, key, name, yes, note, json, "deny")


def _decide(
    prefixes: list[str],
    key: Path | None,
    name: str | None,
    yes: bool,
    note: str,
    json: bool,
    decision: Literal["grant", "deny"],
) -> None:
    here = context()
    person, signing_key, done = _person(here, name), key or approval.default_key(), []
    for prefix in prefixes:
        with here.ledger.transaction(reading=True) as connection:
            row = plans.find(connection, prefix)
            plan = plans.of(row)
        for line in _described(here, row, plan):
            say(line)
        if not yes:
            if not sys.stdin.isatty():
                raise InputError(
                    "Cannot prompt: standard input is not a terminal.",
                    cure="Add --yes once you have read the plan above.",
                )
            typer.confirm(f"{'Approve' if decision == 'grant' else 'Deny'} as {person.name}?", abort=True, err=True)
        done.append(sign_off.decide(here.home, here.ledger, plan.digest, person, signing_key, decision, note))
        if decision == "deny":
            say(f"Denied plan {plan.short}.")
        else:
            until, minutes = done[-1]["expires_at"][11:16], here.home.policy.approvals.valid_minutes
            say(f"Approved plan {plan.short}. Valid once, until {until} UTC ({minutes} min).")
    if json:
        print_json(done)
    here.deliver()


IF_WORSE = {
    "undo": "it is undone at once, without another approval",
    "rollback": "the runbook goes on with its rollback",
    "hand_over": "a person is called",
}


def _described(here: Context, row: Any, plan: Any) -> list[str]:
    with here.ledger.transaction(reading=True) as connection:
        radius = here.home.radius(plan.service, here.ledger.now(connection))
    rows = [
        f"plan       {plan.digest}",
        f"asked by   {row.requester} for {row.incident}",
        f"runbook    {plan.runbook} at {plan.runbook_digest[:12]}",
        f"action     {plan.action} {jsonlib.dumps(plan.arguments)}",
        f"target     {plan.target} ({plan.service} in {plan.environment})",
        *[f"  - {line}" for line in str(plan.diff.get("before", "")).splitlines()],
        *[f"  + {line}" for line in str(plan.diff.get("after", "")).splitlines()],
        *[f"warning    {warning}" for warning in plan.warnings],
        f"undo       {plan.undo_note or ('yes' if plan.undo else 'none')}",
        *([f"if worse   {IF_WORSE[plan.if_worse]}"] if plan.undo or plan.if_worse != "undo" else []),
        f"radius     {radius}: {', '.join(radius.downstream) or 'none'}",
        *([f"unknown    {radius.unknown}"] if radius.unknown else []),
    ]
    gates = [f"  {g['name']:<12} {g['status']:<8} {g['reason']}" for g in jsonlib.loads(row.gates)]
    return [shown(line, 400) for line in [*rows, "gates", *gates]]


def approvals(json: Json = False) -> None:
    """What waits for a person, with the command that approves it."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        now = here.ledger.now(connection)
        found = []
        for row in plans.waiting(connection):
            plan = plans.of(row)
            found.append(
                {
                    "plan": plan.digest, "incident": row.incident, "action": plan.action, "target": plan.target, "environment": plan.environment,
                    "requester": row.requester, "age_s": round(now - row.made_at), "command": f"responder approve {plan.short}",
                }
            )  # fmt: skip
    if json:
        print_json(found)
        return
    for one in found:
        console.print(
            f"{one['incident']}  {one['action']} on {one['target']}, {one['age_s']} s ago\n  {one['command']}",
            markup=False,
        )
    if not found:
        say("Nothing is waiting for approval.")


@known.callback()
def people(command: typer.Context, json: Json = False) -> None:
    """Who may sign: roles, logins and kinds of keys."""
    if command.invoked_subcommand is not None:
        return
    here = homes.find().people
    keys = enroll.kinds_of_keys(here)
    if json:
        print_json([{**person.model_dump(mode="json"), "keys": keys[person.name]} for person in here.people])
        return
    for one in here.people:
        roles, logins = ", ".join(one.roles), ", ".join(one.logins) or "none"
        signs = ", ".join(keys[one.name]) or "none, so they cannot sign"
        console.print(f"{one.name}  {roles}\n  logins: {logins}; keys: {signs}", markup=False)
    if not here.people:
        say("Nobody may sign yet. Add a person: responder people add NAME --key ~/.ssh/id_ed25519.pub")


@known.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name by which the person is shown.")],
    key: Annotated[Path, typer.Option("--key", help="Their public SSH key, a .pub file.")],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="operator (default) or incident_commander; repeatable.")
    ] = None,
    login: Annotated[
        list[str] | None, typer.Option("--login", help="User name by which they request runs; repeatable.")
    ] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", help="Their name in allowed_signers; default NAME.")
    ] = None,
    json: Json = False,
) -> None:
    """Add a person to people.yml and their key to allowed_signers."""
    known_roles = get_args(Role)
    if unknown := [one for one in role or () if one not in known_roles]:
        raise InputError(f"role '{shown(unknown[0])}' is not known.", cure=f"Use {' or '.join(known_roles)}.")
    values = {"name": name, "principal": principal or name, "roles": role or ["operator"], "logins": login or []}
    person = Person.model_validate(values)
    written = enroll.enroll(homes.find(), person, key)
    if json:
        print_json({**person.model_dump(mode="json"), "files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")


def attest(
    runbook: Annotated[str, typer.Argument(help="Id of a runbook.")],
    evidence: Annotated[str, typer.Option("--evidence", help="Address of the protocol of the trial.")],
    key: Key = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Sign that this runbook, as it is now, was tried elsewhere."""
    here = context()
    _tell(
        sign_off.attest(here.home, here.ledger, runbook, _person(here, name), key or approval.default_key(), evidence),
        json,
    )


def reset(
    breaker: Annotated[str, typer.Argument(help="The lockout, as the refusal names it.")],
    key: Key = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Allow one supervised retry of a locked-out remediation; needs the incident commander's signature, except in homelab."""
    here = context()
    with here.ledger.transaction(reading=True) as connection:
        closed = locked_out(connection, here.ledger.now(connection), here.home.policy)
        known = {*closed, *tries(connection)}
    if breaker not in known:
        raise InputError(
            f"'{shown(breaker)}' is neither locked out nor tried.",
            cure=f"Locked out: {', '.join(map(shlex.quote, sorted(closed))) or 'nothing'}.",
        )
    signed = here.home.policy.requires.approvals
    person = _person(here, name) if signed else None
    signing = (key or approval.default_key()) if signed else None
    _tell(sign_off.reset(here.home, here.ledger, breaker, person, signing), json)


def lift(
    stop: Annotated[str, typer.Argument(help="The stop's name, STOP-1.")],
    key: Key = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Lift an emergency stop; needs the incident commander's signature, except in homelab."""
    here = context()
    signed = here.home.policy.requires.commander_lifts_stop
    person = _person(here, name) if signed else None
    _tell(
        sign_off.lift(here.home, here.ledger, stop, person, (key or approval.default_key()) if signed else None), json
    )
    here.deliver()


@glass.command("sign")
def sign_glass(
    plan: Annotated[str, typer.Argument(help="The whole digest of the plan, 64 digits.")],
    name: Annotated[str, typer.Option("--as", help="Who you are in the people.yml of the other side.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is reviewed.")],
    key: Key = None,
    valid_minutes: Annotated[int, typer.Option("--valid-minutes", min=1)] = 240,
) -> None:
    """On any machine, without home or ledger: sign a plan and print the text to carry."""
    print(break_glass.sign(plan, name, key or approval.default_key(), valid_minutes, reason))


@glass.command("use")
def use_glass(
    file: Annotated[str, typer.Argument(help="File with the carried text, or - for standard input.")] = "-",
    json: Json = False,
) -> None:
    """Accept a carried approval; then run the runbook again. Its use is owed a review."""
    here = context()
    _tell(break_glass.use(here.home, here.ledger, sys.stdin.read() if file == "-" else read_text(Path(file))), json)
    here.deliver()


@glass.command("review")
def review_glass(
    use: Annotated[str, typer.Argument(help="The use, as `responder status` names it.")],
    note: Annotated[str, typer.Option("--note", help="What you found.")],
    key: Key = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Sign that a use of break-glass was looked at."""
    here = context()
    person, signing = _person(here, name), key or approval.default_key()
    _tell(break_glass.review(here.home, here.ledger, use, person, signing, note), json)


def _tell(result: dict[str, Any], json: bool) -> None:
    if json:
        print_json(result)
    else:
        told = {name: "; ".join(value) if isinstance(value, list) else value for name, value in result.items()}
        say(", ".join(f"{name}: {value}" for name, value in told.items() if value != ""))
