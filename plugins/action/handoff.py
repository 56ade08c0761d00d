# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what the next person needs to know, and tells the on-call."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from ansible_collections.sre.responder.plugins.plugin_utils.task_facts import plain
from sre_responder.ledger import audit
from sre_responder.record.handoff import handoff as describe


class ActionModule(ActionBase):
    """The last step of a ladder: it is reached when no rung was needed, or none helped."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, handoff, ())


def handoff(call: Call) -> dict[str, Any]:
    """The hand-off from the record; on the record too, unless the last rung healed or this is a dry run."""
    with call.ledger.transaction() as connection:
        found = describe(connection, call.home, call.incident)
        if not call.check and found.tried and not found.helped:
            audit.append(
                connection, call.ledger.now(connection), "handoff.made", call.requester,
                f"the ladder of {call.incident} is at its end; a person takes over", incident=call.incident, notify="on_call",
                run=call.run, handoff=found.as_dict(),
            )  # fmt: skip
    return {"handoff": plain(found.as_dict())}
