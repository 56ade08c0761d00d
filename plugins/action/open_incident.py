# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens an incident, or joins the open one of that number."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.ledger import incidents


class ActionModule(ActionBase):
    """Records; changes nothing else."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, open_incident, ("title", "severity"))


def open_incident(call: Call) -> dict[str, Any]:
    """Open or join; a dry run says which it would be."""
    severity = call.home.policy.severity(str(call.arguments.get("severity", "SEV3")))
    title = str(call.arguments.get("title") or f"incident of {call.service}")
    if call.check:
        return {"changed": True, "incident": call.incident or "INC-00000", "severity": severity}
    with call.ledger.transaction() as connection:
        number, new = incidents.open_(
            connection,
            call.ledger.now(connection),
            service=call.service,
            environment=call.environment,
            severity=severity,
            title=title,
            actor=call.requester,
            id=call.incident or None,
        )
    return {"changed": new, "incident": number, "severity": severity}
