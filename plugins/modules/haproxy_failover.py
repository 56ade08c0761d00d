#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_failover
short_description: Move all traffic of a backend to one server
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Makes one server ready, reads back that it is up, and then drains every other one.
  - The success criterion is measured once no session is left there.
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
    support: full
    details: The undo playbook is written before anything changes.
  guard:
    support: full
    details: Rung 4.
options:
  socket:
    description:
      - Runtime socket of HAProxy with level admin.
      - Default is the annotation C(responder/haproxy-socket) of the service.
      - One of both is needed.
    type: path
  backend:
    description:
      - Backend whose servers are meant.
      - Default is the annotation C(responder/haproxy-backend) of the service.
      - One of both is needed.
    type: str
  timeout_s:
    description:
      - How long to wait for the platform, in seconds.
    type: float
    default: 5.0
  to:
    description:
      - Server that takes all traffic.
      - Default is the annotation C(responder/haproxy-failover-to) of the service.
      - One of both is needed.
    type: str
"""

EXAMPLES = r"""
- name: Move checkout to the west
  sre.responder.haproxy_failover:
    incident: INC-1234
    service: checkout
    environment: staging
    socket: /run/haproxy.sock
    backend: checkout
    to: west
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
    "socket": {"type": "path"},
    "backend": {"type": "str"},
    "timeout_s": {"type": "float", "default": 5.0},
    "to": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="haproxy_failover runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
