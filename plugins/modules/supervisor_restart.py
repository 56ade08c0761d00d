#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: supervisor_restart
short_description: Restart one program under supervisord
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Stops and starts one program through supervisord's XML-RPC interface and waits until it runs anew.
extends_documentation_fragment:
  - sre.responder.guarded
  - sre.responder.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  mutates:
    support: full
  undo:
    support: none
    details: There is no earlier state to restore.
  guard:
    support: full
    details: Rung 2.
options:
  server:
    description:
      - Address of supervisord, C(unix:///path) or C(http://host:port).
      - Default is the annotation C(responder/supervisor-server) of the service.
      - One of both is needed.
    type: str
  program:
    description:
      - Name of the program, or C(GROUP:*) for all of a group, one after the other, but for those that a person stopped.
      - One that supervisord starts again and again by itself is skipped.
      - Default is the annotation C(responder/supervisor-program) of the service.
      - One of both is needed.
    type: str
  username:
    description:
      - User of supervisord's interface, where it asks for one.
    type: str
  password:
    description:
      - Password of that user. It never stands in plan, record or output; an address that contains one is refused.
    type: str
  timeout_s:
    description:
      - How long to wait for the platform, in seconds.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Restart checkout
  sre.responder.supervisor_restart:
    incident: INC-1234
    service: checkout
    environment: staging
    server: unix:///run/shop.sock
    program: checkout
"""

RETURN = r"""
before:
  description: State that identifies the target before the action.
  returned: when planned
  type: dict
after:
  description: State after the action as read back; in check mode as predicted.
  returned: when planned
  type: dict
outcome:
  description: What the runbook's evidence said after the action; null in check mode and for all but the last host.
  returned: always
  type: str
  sample: improved
undone:
  description: Whether the action was undone at once, because things were no better.
  returned: with an outcome
  type: bool
skip_reason:
  description: Why nothing was done (V(healthy), V(tried), V(not_applicable) or V(handed_over)).
  returned: when skipped
  type: str
guard:
  description: The decision with every gate.
  returned: when asked
  type: dict
  contains:
    decision:
      description: Either V(allowed) or V(refused).
      returned: always
      type: str
    plan:
      description: SHA-256 of the plan.
      returned: always
      type: str
    attempt:
      description: Number of the attempt; null where refused.
      returned: always
      type: int
    gates:
      description: The verdict of every gate.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: Name of the gate.
          returned: always
          type: str
        status:
          description: One of V(passed), V(failed), V(unknown) and V(skipped); failed and unknown block.
          returned: always
          type: str
        reason:
          description: Why, in words.
          returned: always
          type: str
        evidence:
          description: The facts that the gate looked at.
          returned: always
          type: dict
        clears_by:
          description: Who or what can clear it; null where it does not block.
          returned: always
          type: str
        clears_at:
          description: When it clears by itself; null where it does not.
          returned: always
          type: str
        command:
          description: The command to type; null where there is none.
          returned: always
          type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str"},
    "environment": {"type": "str"},
    "applies": {"type": "bool", "default": True},
    "because": {"type": "str"},
    "confirm_production": {"type": "bool", "default": False},
    "if_worse": {"type": "str", "choices": ["undo", "rollback", "hand_over"], "default": "undo"},
    "server": {"type": "str"},
    "program": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "timeout_s": {"type": "float", "default": 30.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="supervisor_restart runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
