#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Show every gate for an action, without the action
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Evaluates all gates as they stand now; reserves and changes nothing.
extends_documentation_fragment:
  - sre.responder.recording
  - sre.responder.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  mutates:
    support: none
  undo:
    support: none
    details: It changes nothing.
  guard:
    support: none
    details: It mutates nothing, so it runs under an emergency stop too.
options:
  action:
    description:
      - Guarded action, by its short name.
    type: str
    required: true
  arguments:
    description:
      - Options of the action.
    type: dict
"""

EXAMPLES = r"""
- name: Show every gate for an action, without the action
  sre.responder.preflight:
    incident: INC-1234
    service: checkout
    environment: staging
    action: supervisor_restart
"""

RETURN = r"""
guard:
  description: The decision with every gate.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "action": {"type": "str", "required": True},
    "arguments": {"type": "dict"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="preflight runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
