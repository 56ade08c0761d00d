# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action release_rollback on its host: switch to an earlier release, and restart what runs it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.sre.responder.plugins.module_utils import _systemd as systemd
from ansible_collections.sre.responder.plugins.module_utils._on_host import HostError
from ansible_collections.sre.responder.plugins.module_utils._on_host import run as answer
from ansible_collections.sre.responder.plugins.module_utils._release import plan, same_folder, switch
from ansible_collections.sre.responder.plugins.module_utils._restart import again

_ROOT, _UNIT = "responder/release-root", "responder/systemd-unit"


def run(module: AnsibleModule) -> None:
    given = module.params

    def act(planned: dict[str, Any]) -> dict[str, Any]:
        observed = switch(given["root"], planned["after"]["release"], planned["before"]["release"])
        if given["restart"]:
            try:
                observed["restart"] = again(given["restart"])
            except HostError as error:
                raise type(error)(f"current points at {observed['release']} now, and {error}") from error
        return observed

    def one(others: dict[str, list]) -> dict[str, list]:
        unit = ((given["restart"] or {}).get("systemd") or {}).get("unit")
        units = systemd.same(systemd.service(unit), others.get(_UNIT, [])) if unit else []
        return {_ROOT: same_folder(given["root"], others.get(_ROOT, [])), _UNIT: units}

    answer(
        module,
        lambda: plan(given["root"], given["to"], given["history"], given["restart"]),
        one,
        act,
    )
