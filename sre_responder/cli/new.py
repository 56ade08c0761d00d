"""The command new: a starter for what a team writes itself."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from sre_responder import home as homes
from sre_responder.cli.output import Json, done, say
from sre_responder.effects import EFFECTS, PROBES
from sre_responder.effects.action import Action
from sre_responder.errors import InputError
from sre_responder.home.readme import README
from sre_responder.home.runbook import PLAYBOOK
from sre_responder.model import names
from sre_responder.model.actions import ACTIONS, ActionSpec

starters = typer.Typer(no_args_is_help=True, help="Starters for what you write yourself.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(starters, name="new")


@starters.command()
def runbook(
    id: Annotated[str, typer.Argument(help="Its name: a-z, digits and dashes.")],
    action: Annotated[
        list[str] | None, typer.Option("--action", help="A guarded action of its ladder; repeat it.")
    ] = None,
    alert: Annotated[str | None, typer.Option("--alert", help="Name of the alert that it serves.")] = None,
    json: Json = False,
) -> None:
    """Write a runbook into the home, its steps by rung, and a README that says what to write. Nothing is registered.

    \b
    responder new runbook checkout-slow --action supervisor_restart
    """
    home, name = homes.find(), names.runbook(id)
    if unknown := [one for one in action or () if one not in ACTIONS]:
        raise InputError(f"'{names.shown(unknown[0])}' is no guarded action.", cure=f"Use {', '.join(ACTIONS)}.")
    if alert is not None and not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,127}", alert):
        raise InputError(f"'{names.shown(alert)}' is no name of an alert.", cure="Write it as labels.alertname has it.")
    folder = home.folder / "runbooks" / name
    if folder.exists():
        raise InputError(f"{folder} exists already.", cure="Choose another name, or edit it.")
    ladder = sorted((ACTIONS[one] for one in dict.fromkeys(action or ())), key=lambda spec: spec.rung)
    folder.mkdir(parents=True)
    written = {PLAYBOOK: _playbook(name, ladder, alert), README: _readme(name, ladder, alert)}
    for file, text in written.items():
        (folder / file).write_text(text, encoding="utf-8")
        say(f"wrote {folder / file}")
    done(json, f"Edit both, then: responder lint {folder}", folder=str(folder), wrote=[*written])


def _action(spec: ActionSpec) -> Action:
    return (PROBES if spec.on_host else EFFECTS)[spec.name].action


def _playbook(name: str, ladder: list[ActionSpec], alert: str | None) -> str:
    on_kubernetes = any(spec.platform == "kubernetes" for spec in ladder)
    serves = (
        f"labels.alertname == '{alert}'"
        if alert
        else "\"`false`\"  # JMESPath over one alert, as labels.alertname == 'NAME'"
    )
    there = [spec.name for spec in ladder if spec.on_host]
    where = f"localhost  # or the hosts of the service, for {', '.join(there)}" if there else "localhost"
    success = _SUCCESS_ON_KUBERNETES if on_kubernetes else _SUCCESS
    return _PLAYBOOK.format(
        id=name, where=where, serves=serves, success=success, steps="".join(map(_step, ladder)),
    )  # fmt: skip


def _step(spec: ActionSpec) -> str:
    """The task, and what it still needs: what an annotation gives is told by it."""
    asked = [
        f"        # {option}: from {key} of the catalogue\n"
        for option, key in spec.annotations.items()
        if option in spec.locates
    ]
    needed = [f"        {option}: # write it\n" for option in spec.needs if option not in spec.annotations]
    return f"    - name: {_action(spec).summary}\n      sre.responder.{spec.name}:\n{''.join([*asked, *needed])}\n"


def _readme(name: str, ladder: list[ActionSpec], alert: str | None) -> str:
    steps = [
        f"{number}. `{spec.name}` ({f'rung {spec.rung}' if spec.rung else 'containment'}): {_action(spec).summary}."
        for number, spec in enumerate(ladder, 2)
    ]
    undo = [f"- `{spec.name}`: {_action(spec).undo}" for spec in ladder]
    return _README.format(
        id=name, alert=f"`{alert}`" if alert else "its alert", rollback="\n".join(undo) or "<!-- what undo restores -->",
        steps="\n".join(["1. `diagnose`: reads only.", *steps, f"{len(steps) + 2}. `handoff`: what was tried, and the next command."]),
    )  # fmt: skip


_SUCCESS = """\
        expect: success_rate >= `0.98`  # JMESPath over the JSON of responder/probe-url; leave it out to judge by status alone
        watch_s: 10  # how long recovery may take: longer than your service needs to start
        hold_s: 10"""
_SUCCESS_ON_KUBERNETES = """\
        must:
          - {source: http, required: false}  # responder/probe-url, where the catalogue has it
          - {source: kubernetes}
        interval_s: 0.5
        watch_s: 45  # how long recovery may take
        hold_s: 15"""
_PLAYBOOK = """\
---
- name: Heal {id}
  hosts: {where}
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    runbook:
      id: {id}
      failure_class: {id}  # attempts are counted by it; share it between runbooks for one failure
      alerts: {serves}
      success:
{success}
  module_defaults:
    group/sre.responder.guarded:
      incident: "{{{{ incident }}}}"
      service: "{{{{ service }}}}"
      environment: "{{{{ target }}}}"
      confirm_production: "{{{{ confirm_production | default(false) }}}}"
  tasks:
    - name: Look before touching anything
      sre.responder.diagnose:

{steps}    - name: Hand over what could not be healed
      sre.responder.handoff:
"""
_README = """\
# {id}

## Meaning

<!-- What {alert} means, and what this runbook does about it. -->

## Impact

<!-- What users notice, and what a wrong remediation costs. -->

## Diagnosis

<!-- What to look at first, with commands. -->

## Decision tree

<!-- When to run it, when not, and what to do in its place. -->

## Steps

{steps}

## Verification

The run measures the criterion of `runbook.yml`. By hand: `responder check SERVICE`.

## Rollback

{rollback}

## Contacts

<!-- Whom to call. -->
"""
