# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects, in parallel and without changing anything, what a person would look at first; also under a stop."""

from __future__ import annotations

from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.sre.responder.plugins.plugin_utils.recording import Call, answer
from sre_responder.diagnosis import diagnose as collect
from sre_responder.diagnosis import findings
from sre_responder.ledger import audit, known_good
from sre_responder.recovery import left_as_bad


class ActionModule(ActionBase):
    """Reads and records; changes nothing else."""

    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        return answer(self, task_vars, diagnose, ())


def diagnose(call: Call) -> dict[str, Any]:
    """The diagnosis of the service and its neighbours; it identifies the scope for the containment gate."""
    catalogue = call.home.catalogue
    service = catalogue.service(call.service)
    criterion = call.runbook.metadata.success if call.runbook else None
    needed = [catalogue.services[name] for name in service.depends_on if name in catalogue.services]
    place, here = call.home.place(call.service, call.environment), service.only(call.environment)
    with call.ledger.transaction(reading=True) as connection:
        known = known_good.find(connection, call.service, call.environment)
        radius = call.home.radius(call.service, call.ledger.now(connection))
    again = partial(left_as_bad.again, call.home, call.ledger, call.service, call.environment)
    found = collect(here, [one.only(call.environment) for one in needed], criterion, place, known, again)
    wrong = findings(found)
    if not call.check:
        with call.ledger.transaction() as connection:
            audit.append(
                connection,
                call.ledger.now(connection),
                "scope.identified",
                call.requester,
                f"{call.service} diagnosed{': ' if wrong else ''}{'; '.join(wrong)}; {radius}",
                incident=call.incident or None,
                radius=radius.as_dict(),
                findings=wrong,
                diagnosis={name: part.get("status") for name, part in found.items() if isinstance(part, dict)},
            )
    return {"diagnosis": found, "radius": radius.as_dict()}
