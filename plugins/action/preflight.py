# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every gate for an action as they stand now, without the action."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.effects import EFFECTS, leads_to
from sre_responder.engine.step.plan import misnamed, plan_of
from sre_responder.errors import InputError, ResponderError
from sre_responder.guard.decide import preview
from sre_responder.model.actions import ACTIONS, UNDO, short_name
from sre_responder.model.request import Request


class ActionModule(ActionBase):
    """Reads; changes and reserves nothing."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, preflight, ("action", "arguments"))


def preflight(call: Call) -> dict[str, Any]:
    """The gate vector; a gate that blocks does not fail this task, it is what was asked."""
    action = short_name(str(call.arguments.get("action", "")))
    spec, runbook = call.home.policy.action(action), call.runbook
    if spec is None or spec is UNDO:
        raise InputError(f"action '{action[:64]}' is not on the allowlist.", cure=f"Use one of {', '.join(ACTIONS)}.")
    annotations = call.home.catalogue.service(call.service).reached(call.environment)
    arguments = {**call.home.given(spec, annotations), **(call.arguments.get("arguments") or {})}
    step = next((task.digest for task in runbook.steps if task.action == action), "") if runbook else ""
    request = Request(
        action=action, incident=call.incident, service=call.service, environment=call.environment, confirm_production=True,
        run=call.run, task="preflight", step=step, host="localhost", hosts=("localhost",), requester=call.requester,
    )  # fmt: skip
    plan = None
    try:
        if action not in EFFECTS:
            raise InputError(
                f"the state that {action} would change stands on a host; run the runbook with --check to see its plan."
            )
        change = EFFECTS[action].plan(arguments)
        if wrong := misnamed(call.home, request, spec, arguments, partial(leads_to, action, arguments, change)):
            raise InputError(wrong)
        plan = plan_of(call.home, request, arguments, spec, runbook, change)
    except ResponderError as error:
        request = replace(request, problems=(str(error),))
    return {"guard": preview(call.home, call.ledger, request, plan, runbook, measured=True).as_dict()}
