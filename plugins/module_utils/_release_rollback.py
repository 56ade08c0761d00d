# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action release_rollback on its host: switch to an earlier release, and restart what runs it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.sre.responder.plugins.module_utils._on_host import HostError
from ansible_collections.sre.responder.plugins.module_utils._on_host import run as answer
from ansible_collections.sre.responder.plugins.module_utils._release import plan, same_folder, switch
from ansible_collections.sre.responder.plugins.module_utils._restart import RestartError, again

_ROOT = "responder/release-root"


def run(module: AnsibleModule) -> None:
    given = module.params

    def act(planned: dict[str, Any]) -> dict[str, Any]:
        observed = switch(given["root"], planned["after"]["release"], planned["before"]["release"])
        if given["restart"]:
            try:
                observed["restart"] = again(given["restart"])
            except RestartError as error:
                raise HostError(f"current points at {observed['release']} now, and {error}") from error
        return observed

    answer(
        module,
        lambda: plan(given["root"], given["to"], given["history"], given["restart"]),
        lambda others: {_ROOT: same_folder(given["root"], others.get(_ROOT, []))},
        act,
    )
