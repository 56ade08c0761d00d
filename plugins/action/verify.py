# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the runbook's success criterion, for as long as asked."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.engine.health import Health
from sre_responder.errors import OutcomeUnknown, Refused


class ActionModule(ActionBase):
    """Only reads. A healthy period resets the counts of the symptom, if a registered runbook declares this task."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, verify, ("wait_s",))


def verify(call: Call) -> dict[str, Any]:
    """Healthy throughout `wait_s` seconds, else the task fails and says what was measured."""
    if call.runbook is None:
        raise Refused("verify stands outside a runbook, so there is no criterion.", cure="Put it into a runbook.")
    health = Health(
        call.home,
        call.ledger,
        call.runbook,
        call.service,
        call.environment,
        call.declared and not call.check,
        call.incident,
    )
    until = time.monotonic() + float(call.arguments.get("wait_s") or 0)
    while (verdict := health.now()).state == "healthy" and time.monotonic() < until:
        continue  # measuring takes its time
    if verdict.state == "unknown":
        raise OutcomeUnknown(f"the criterion could not be measured: {verdict.reason}.")
    if verdict.state != "healthy":
        raise Refused(f"{call.service} is not healthy: {verdict.reason}.")
    return {"state": verdict.state, "reason": verdict.reason}
