# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action systemd_restart on its host: restart one service, and see that it stays."""

from __future__ import annotations

import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.sre.responder.plugins.module_utils import _systemd as systemd
from ansible_collections.sre.responder.plugins.module_utils._on_host import run as answer

_UNIT = "responder/systemd-unit"


def run(module: AnsibleModule) -> None:
    unit = module.params["unit"]
    answer(
        module,
        lambda: _plan(unit),
        lambda others: {_UNIT: systemd.same(systemd.service(unit), others.get(_UNIT, []))},
        lambda planned: systemd.identity(
            systemd.restart(planned["target"].partition(":")[2], module.params["timeout_s"])
        ),
    )


def _plan(unit: str) -> dict[str, Any]:
    found = systemd.steady(unit)
    before, (restarted, stopped) = systemd.identity(found), systemd.with_it(found)
    systemd.may_restart(found["Id"])
    stale = found["NeedDaemonReload"] == "yes"
    facts = {
        "names": found["Names"].split(),
        "result": found["Result"],
        "restarts_by_itself": int(found["NRestarts"]),
        **({"restarts_with_it": restarted} if restarted else {}),
        **({"stops": stopped} if stopped else {}),
        **(
            {"stale": "its file has changed since systemd read it, and it starts as it was read before"}
            if stale
            else {}
        ),
    }
    after = "active (exited)" if found["Type"] == "oneshot" else "active (running)"
    return {
        "node": socket.gethostname(),
        "target": f"systemd:{found['Id']}",
        "before": before,
        "after": {"state": after, "started": f"after {before['started']}"},
        "undo_note": "Nothing to undo: a restart keeps no earlier state.",
        "evidence": facts,
        "busy": systemd.working(found),
        "diff": {
            "before": f"{found['Id']} pid {before['pid']} {before['state']}\n",
            "after": "".join(
                [f"{found['Id']} {after}, new pid\n"]
                + [f"{name} is restarted with it\n" for name in restarted]
                + [f"{name} is stopped\n" for name in stopped]
            ),
        },
    }
