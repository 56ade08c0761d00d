# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the runbook's success criterion, for as long as asked."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.errors import OutcomeUnknown, Refused
from sre_responder.evidence.http import sample
from sre_responder.evidence.verdict import healthy_now
from sre_responder.guard.decide import symptom
from sre_responder.ledger import incidents


class ActionModule(ActionBase):
    """Reads; a measured healthy period starts the counts of the symptom anew."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, verify, ("wait_s",))


def verify(call: Call) -> dict[str, Any]:
    """Healthy throughout `wait_s` seconds, else the task fails and says what was measured."""
    if call.runbook is None:
        raise Refused("verify stands outside a runbook, so there is no criterion.", cure="Put it into a runbook.")
    criterion = call.runbook.metadata.success
    url = criterion.url or call.home.catalogue.service(call.service).annotations.get("responder/probe-url", "")
    name = symptom(call.environment, call.service, call.runbook.metadata.failure_class)
    until = time.monotonic() + float(call.arguments.get("wait_s") or 0)
    while True:
        verdict = healthy_now(criterion, lambda: sample(criterion, url), time.time, time.sleep)
        if verdict.state != "unknown" and not call.check:
            with call.ledger.transaction() as connection:
                period = call.home.policy.loop.healthy_seconds
                incidents.observe(
                    connection,
                    call.ledger.now(connection),
                    name,
                    verdict.state == "healthy",
                    period,
                    began=verdict.good_since,
                )
        if verdict.state == "unknown":
            raise OutcomeUnknown(f"the criterion could not be measured: {verdict.reason}.")
        if verdict.state != "healthy" or time.monotonic() >= until:
            break
    if verdict.state != "healthy":
        raise Refused(f"{call.service} is not healthy: {verdict.reason}.")
    return {"state": verdict.state, "reason": verdict.reason}
