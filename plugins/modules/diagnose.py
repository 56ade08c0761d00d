#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Collect what a person would look at first
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Reads processes, probes, releases, host, log and dependencies, in parallel; runs under an emergency stop too.
  - Identifies the scope of the incident, for which the containment gate asks.
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
"""

EXAMPLES = r"""
- name: Collect what a person would look at first
  sre.responder.diagnose:
    incident: INC-1234
    service: checkout
    environment: staging
"""

RETURN = r"""
diagnosis:
  description: One part a collector, each with its status.
  returned: always
  type: dict
radius:
  description: The service, the services downstream of it, and its neighbours within two hops.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="diagnose runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
