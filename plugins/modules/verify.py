#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Measure the success criterion of the runbook
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Fails unless the criterion holds throughout O(wait_s).
  - A measured healthy period starts the counts of the symptom anew.
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
  wait_s:
    description:
      - How long the criterion must hold, in seconds.
    type: float
    default: 0.0
"""

EXAMPLES = r"""
- name: Measure the success criterion of the runbook
  sre.responder.verify:
    incident: INC-1234
    service: checkout
    environment: staging
    wait_s: 60
"""

RETURN = r"""
state:
  description: What was measured.
  returned: success
  type: str
reason:
  description: The measurement in words.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "wait_s": {"type": "float", "default": 0.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="verify runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
