# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds a person's or a playbook's words to the timeline."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.errors import InputError
from sre_responder.ledger import audit


class ActionModule(ActionBase):
    """Records; changes nothing else."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, note, ("text",))


def note(call: Call) -> dict[str, Any]:
    """Write the note into the record, unless this is a dry run."""
    text = str(call.arguments.get("text", "")).strip()
    if not text:
        raise InputError("note needs the option text.", cure="Say what is to be remembered.")
    if not call.check:
        with call.ledger.transaction() as connection:
            audit.append(
                connection,
                call.ledger.now(connection),
                "note.added",
                call.requester,
                text,
                incident=call.incident or None,
            )
    return {"changed": not call.check}
