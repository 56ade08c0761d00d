# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every action does that runs on a host: it plans in check mode, and acts only on the plan that the guard allowed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule


class HostError(Exception):
    """Why it cannot be planned or done, in one sentence."""


class Moved(HostError):
    """Somebody else changed the target meanwhile; nothing was changed."""


class NotApplicable(HostError):
    """The action would change nothing for the better, as the host itself shows; a ladder goes on without it."""


class Unknown(HostError):
    """What was begun may still go on, whatever is read a moment later."""


def run(
    module: AnsibleModule,
    plan: Callable[[], dict[str, Any]],
    one: Callable[[dict[str, list]], dict[str, list]],
    act: Callable[[dict[str, Any]], dict[str, Any]],
) -> NoReturn:
    """Answer the guard.

    `plan` gives `node`, `target`, `before`, `after` and what else a change has. `one` is asked for the values of the catalogue's
    annotations, by annotation, and gives those that lead to this target. `act` is given the plan, and gives what it observed.
    """
    given, begun = module.params, False
    if given["_deadline"]:
        signal.alarm(given["_deadline"])  # also where the controller is gone by then
    try:
        planned = plan()
        if module.check_mode:
            module.exit_json(**planned, changed=planned["before"] != planned["after"], one=one(given["_others"] or {}))
        if not given["_plan"]:
            module.fail_json(msg="it acts only with a plan that the guard allowed; nothing was changed.")
        found = {"target": f"{planned['node']}:{planned['target']}", **planned["before"]}
        if given["_expect"] != found:
            now = ", ".join(f"{key} {value}" for key, value in found.items() if key != "target")
            raise Moved(f"this is {found['target']}, {now}, not as the plan saw it; nothing was changed.")
        begun = True
        observed = act(planned)
    except HostError as error:
        module.fail_json(
            msg=str(error),
            moved=isinstance(error, Moved) or not (module.check_mode or begun),  # it could be planned before
            not_applicable=isinstance(error, NotApplicable),
            unknown=isinstance(error, Unknown),
        )
    module.exit_json(**planned, changed=True, observed=observed)
