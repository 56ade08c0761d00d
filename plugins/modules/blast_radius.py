#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: blast_radius
short_description: Estimate how far a change to a service reaches
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Reads the service graph, of the catalogue and of calls that were observed, and the repairs that run nearby, and records the estimate.
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
- name: Estimate how far a change to a service reaches
  sre.responder.blast_radius:
    incident: INC-1234
    service: checkout
    environment: staging
"""

RETURN = r"""
radius:
  description: Downstream services, neighbours within two hops, repairs among them, tier 0, share of traffic, and what is not known.
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
        msg="blast_radius runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
