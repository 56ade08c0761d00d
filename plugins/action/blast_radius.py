# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimates and records how far a change to a service reaches."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.ledger import attempts, audit


class ActionModule(ActionBase):
    """Reads and records; changes nothing else."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, blast_radius, ())


def blast_radius(call: Call) -> dict[str, Any]:
    """Downstream services, neighbours within two hops, and repairs that run among them."""
    with call.ledger.transaction() as connection:
        now = call.ledger.now(connection)
        radius = call.home.radius(call.service, now)
        repairs = attempts.services_under_repair(connection, radius.neighbours)
        found = {**radius.as_dict(), "repairs_nearby": list(repairs)}
        if not call.check:
            summary = f"{call.service}: {radius}"
            audit.append(
                connection,
                now,
                "scope.identified",
                call.requester,
                summary,
                incident=call.incident or None,
                radius=found,
            )
    return {"radius": found}
