#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: open_incident
short_description: Open an incident, or join the open one of that number
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Writes the incident into the ledger.
extends_documentation_fragment:
  - sre.responder.looking
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
  title:
    description:
      - What is wrong, in one line.
    type: str
  severity:
    description:
      - V(SEV1) to V(SEV4), or an alias of the policy.
    type: str
    default: SEV3
"""

EXAMPLES = r"""
- name: Open an incident, or join the open one of that number
  sre.responder.open_incident:
    incident: INC-1234
    service: checkout
    environment: staging
    severity: SEV2
"""

RETURN = r"""
incident:
  description: Number of the incident.
  returned: always
  type: str
severity:
  description: Its severity, V(SEV1) to V(SEV4).
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "title": {"type": "str"},
    "severity": {"type": "str", "default": "SEV3"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="open_incident runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
