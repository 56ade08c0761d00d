# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every step that does not mutate shares: its home, its ledger, the names it was given, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.one_version import require_one_version
from ansible_collections.sre.responder.plugins.plugin_utils.screen import failure
from ansible_collections.sre.responder.plugins.plugin_utils.task_facts import (
    checking,
    declared,
    location,
    plain,
    run_identity,
)
from sre_responder import home
from sre_responder.approvals import approval
from sre_responder.errors import InputError, ResponderError
from sre_responder.home import Home
from sre_responder.home.runbook import Runbook, resolve, task_digest
from sre_responder.ledger import Ledger
from sre_responder.model import names

COMMON = ("incident", "service", "environment", "applies", "because", "confirm_production", "if_worse")


@dataclass(frozen=True)
class Call:
    """One call of a recording or reading module, in plain values."""

    home: Home
    ledger: Ledger
    arguments: dict[str, Any]
    incident: str
    service: str
    environment: str
    requester: str
    run: str
    check: bool
    runbook: Runbook | None
    declared: bool
    """Whether this is a task of the runbook as it stands in its file."""


def answer(
    action: ActionBase, task_vars: dict[str, Any] | None, do: Callable[[Call], dict[str, Any]], options: tuple[str, ...]
) -> dict[str, Any]:
    """Run `do` with the call; every deliberate error becomes a failed task with its code and cure."""
    try:
        return {"changed": False, "failed": False, **do(_call(action, options))}
    except ResponderError as error:
        raise failure(error) from None


def _call(action: ActionBase, options: tuple[str, ...]) -> Call:
    require_one_version()
    place = home.find()
    given = plain(action._task.args)
    unknown = set(given) - set(options) - set(COMMON)
    if unknown:
        raise InputError(
            f"unknown option {', '.join(sorted(map(names.shown, unknown)))}.",
            cure=f"Options: {', '.join((*COMMON[:3], *options))}.",
        )
    task = action._task
    runbook, ds = resolve(place.folder, location(task)[0]), task.get_ds()
    run = run_identity()[0]
    return Call(
        home=place,
        ledger=Ledger(place.ledger_url),
        arguments={name: value for name, value in given.items() if name in options},
        incident=names.incident(given["incident"]) if given.get("incident") else "",
        service=place.catalogue.service(given.get("service", "")).name,
        environment=place.catalogue.environment(given.get("service", ""), given.get("environment", "")),
        requester=approval.requester(place.people),
        run=run,
        check=checking(task),
        runbook=runbook,
        declared=bool(ds and runbook and declared(task, runbook))
        and task_digest(plain(ds)) in {one.digest for one in runbook.tasks},
    )
