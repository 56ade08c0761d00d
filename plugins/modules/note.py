#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: note
short_description: Add a note to the timeline of an incident
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Writes the text into the record, escaped and cut at 2000 characters.
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
  text:
    description:
      - The words to remember.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Add a note to the timeline of an incident
  sre.responder.note:
    incident: INC-1234
    service: checkout
    environment: staging
    text: The database team is looking.
"""

RETURN = r"""
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "text": {"type": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="note runs through its action plugin only. Install the collection whole; nothing was changed.")


if __name__ == "__main__":
    main()
