#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handoff
short_description: Hand an incident over to a person
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Gives what was tried, what changed, what is held, frozen, contained or running, the next safest command and the undo commands.
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
"""

EXAMPLES = r"""
- name: Hand an incident over to a person
  sre.responder.handoff:
    incident: INC-1234
    service: checkout
    environment: staging
"""

RETURN = r"""
handoff:
  description: The hand-off.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="handoff runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
