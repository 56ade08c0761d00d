#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: release_rollback
short_description: Return to an earlier release folder
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Points the C(current) link at an earlier folder under C(releases/), atomically.
  - The release must exist and stand in the deployment history.
  - Runs on the host of the play.
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
    details: Rung 3.
options:
  root:
    description:
      - Folder that holds C(releases/) and the link C(current), which points at a release or at a folder in it.
      - Default is the annotation C(responder/release-root) of the service.
      - One of both is needed.
    type: path
  to:
    description:
      - Name of the release, or V(previous) for the one deployed before the current one, without those that the deploy tool left again by a rollback
        or marked as bad.
    type: str
    default: previous
  history:
    description:
      - The deploy tool's log of its deployments, newest last. Lines are C(TIME RELEASE), Capistrano's sentences of C(revisions.log), or Deployer's
        JSON of C(.dep/releases_log). A rollback that the tool logged leaves what it left.
      - Default is the first in O(root) of C(deployments.log), C(revisions.log), C(.dep/releases_log) and C(.dep/releases); without any of them
        the folders of C(releases/), ordered by number, by a name that is a time, or by their own time.
    type: path
  restart:
    description:
      - What runs the release and reads C(current) only when it starts. It is restarted on the host once C(current) was switched, and again by
        the undo. It must be there before anything is changed. A switch whose restart fails leaves the target frozen, with what was changed.
    type: dict
    suboptions:
      supervisor:
        description:
          - Programs of supervisord. Where it asks for a login, restart them by M(sre.responder.supervisor_restart) instead.
        type: dict
        suboptions:
          server:
            description:
              - Its address as the host reaches it, C(unix:///PATH) or C(http://HOST:PORT).
            type: str
            required: true
          program:
            description:
              - Name of the program, or C(GROUP:*) for all of a group but those that a person stopped.
            type: str
            required: true
      systemd:
        description:
          - A service of systemd on the host. It may be in a loop of starts, as a bad release leaves it, but not at its limit of starts.
        type: dict
        suboptions:
          unit:
            description:
              - Name of the service, with C(.service) or without.
            type: str
            required: true
      http:
        description:
          - An address that makes the program read the release anew; any status from 200 to 299 is success. It is never reached by a proxy.
        type: dict
        suboptions:
          url:
            description:
              - The address as the host reaches it, without user name and password.
            type: str
            required: true
          method:
            description:
              - How it is called.
            type: str
            choices:
              - GET
              - POST
              - PUT
            default: POST
      seconds:
        description:
          - How long each program, or the answer of the hook, may take.
        type: int
        default: 30
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
- name: Return to the previous release
  sre.responder.release_rollback:
    incident: INC-1234
    service: checkout
    environment: staging
    root: /srv/checkout
    to: previous
- name: Return to the previous release and restart what runs it
  sre.responder.release_rollback:
    incident: INC-1234
    service: checkout
    environment: staging
    root: /srv/checkout
    restart:
      supervisor:
        server: unix:///run/supervisor.sock
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

from ansible_collections.sre.responder.plugins.module_utils._release_rollback import run

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str"},
    "environment": {"type": "str"},
    "applies": {"type": "bool", "default": True},
    "because": {"type": "str"},
    "confirm_production": {"type": "bool", "default": False},
    "if_worse": {"type": "str", "choices": ["undo", "rollback", "hand_over"], "default": "undo"},
    "root": {"type": "path"},
    "to": {"type": "str", "default": "previous"},
    "history": {"type": "path"},
    "restart": {
        "type": "dict",
        "options": {
            "supervisor": {
                "type": "dict",
                "options": {"server": {"type": "str", "required": True}, "program": {"type": "str", "required": True}},
            },
            "systemd": {"type": "dict", "options": {"unit": {"type": "str", "required": True}}},
            "http": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "method": {"type": "str", "choices": ["GET", "POST", "PUT"], "default": "POST"},
                },
            },
            "seconds": {"type": "int", "default": 30},
        },
        "mutually_exclusive": [("supervisor", "systemd", "http")],
        "required_one_of": [("supervisor", "systemd", "http")],
    },
    "_plan": {"type": "str"},
    "_expect": {"type": "dict"},
    "_deadline": {"type": "int"},
    "_others": {"type": "dict"},
}


def main() -> None:
    run(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
