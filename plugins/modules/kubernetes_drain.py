#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_drain
short_description: Cordon and drain a node of Kubernetes
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Containment. Cordons the node, so that no new pods come, and evicts its pods, through the eviction API alone.
  - Mirror pods and pods of a DaemonSet stay, and are told. So are pods that lose what an C(emptyDir) holds.
  - Refused where a pod has no controller, since it would not come back, or where kured, medik8s, Cluster API or another Responder is at work
    on the node.
  - A PodDisruptionBudget is waited for until O(timeout_s). What is left on the node then is told, the node stays cordoned, and the task fails.
  - The undo uncordons the node, only where this action has cordoned it.
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
    details: The undo playbook is written before anything changes; it needs C(kubectl).
  guard:
    support: full
    details: Containment, before the ladder.
options:
  kubeconfig:
    description:
      - Kubeconfig file; otherwise E(KUBECONFIG), the user's own, or inside a pod its own cluster.
      - Default is the annotation C(responder/kubeconfig) of the service.
    type: path
  context:
    description:
      - Context of the kubeconfig; otherwise its current one.
      - Default is the annotation C(responder/kubernetes-context) of the service.
    type: str
  node:
    description:
      - Name of the node.
    type: str
    required: true
  timeout_s:
    description:
      - How long to wait until its pods are gone, in seconds.
    type: float
    default: 300.0
"""

EXAMPLES = r"""
- name: Take a failing node out of use
  sre.responder.kubernetes_drain:
    incident: INC-1234
    service: checkout
    environment: staging
    node: worker-3
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
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "node": {"type": "str", "required": True},
    "timeout_s": {"type": "float", "default": 300.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="kubernetes_drain runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
