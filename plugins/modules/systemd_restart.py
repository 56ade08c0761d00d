#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_restart
short_description: Restart one service of systemd
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Has systemd restart one service, and waits until a new process of it runs and keeps running.
  - Units that systemd restarts with it (those that require it or are part of it) are named in the plan.
  - 'Runs on the host of the play, as root or with C(become: true).'
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
  unit:
    description:
      - Name of the service, with C(.service) or without. An alias is the service that it names; of a template name one instance.
      - One that systemd starts again and again by itself, or has given up (C(start-limit-hit)), is skipped.
      - Default is the annotation C(responder/systemd-unit) of the service.
      - One of both is needed.
    type: str
  timeout_s:
    description:
      - How long to wait until it runs, in seconds. systemd itself waits 90 s before it kills what does not end, if its unit sets nothing else.
        If this passes first the outcome is unknown, as systemd goes on.
    type: float
    default: 120.0
  _plan:
    description: Set by the guard alone; a task that sets it is refused.
    type: str
  _expect:
    description: Set by the guard alone; a task that sets it is refused.
    type: dict
  _deadline:
    description: Set by the guard alone; a task that sets it is refused.
    type: int
  _others:
    description: Set by the guard alone; a task that sets it is refused.
    type: dict
"""

EXAMPLES = r"""
- name: Restart checkout
  sre.responder.systemd_restart:
    incident: INC-1234
    service: checkout
    environment: staging
    unit: checkout.service
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

from ansible_collections.sre.responder.plugins.module_utils._systemd_restart import run

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str"},
    "environment": {"type": "str"},
    "applies": {"type": "bool", "default": True},
    "because": {"type": "str"},
    "confirm_production": {"type": "bool", "default": False},
    "if_worse": {"type": "str", "choices": ["undo", "rollback", "hand_over"], "default": "undo"},
    "unit": {"type": "str"},
    "timeout_s": {"type": "float", "default": 120.0},
    "_plan": {"type": "str"},
    "_expect": {"type": "dict"},
    "_deadline": {"type": "int"},
    "_others": {"type": "dict"},
}


def main() -> None:
    run(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
