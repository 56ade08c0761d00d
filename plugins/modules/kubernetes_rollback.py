#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_rollback
short_description: Return a workload on Kubernetes to an earlier revision
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Sets the pod template of a Deployment, StatefulSet or DaemonSet back to that of an earlier revision of its own history, found by owner and
    revision, and waits until it is rolled out.
  - The API server is asked first, by a dry run. Whatever moves between plan and act voids the plan.
  - Refused where there is no such revision, where the workload has its template already, is paused, is rolling out without failing, or is kept
    by GitOps or by an operator.
  - The memory of C(kubectl apply) is set to the restored template, so that the next apply changes what its manifest says and nothing else. Who
    applies on the server's side is told of a conflict, and says who wins.
  - A pod of a StatefulSet that would never become ready is deleted, since its controller waits for it for ever.
extends_documentation_fragment:
  - sre.responder.guarded
  - sre.responder.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Values of environment variables are hidden.
  mutates:
    support: full
  undo:
    support: full
    details: The undo playbook is written before anything changes; it needs C(kubectl).
  guard:
    support: full
    details: Rung 3.
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
  namespace:
    description:
      - Namespace of the workload.
      - Default is the annotation C(backstage.io/kubernetes-namespace) of the service.
      - One of both is needed.
    type: str
  kind:
    description:
      - Kind of the workload.
      - Default is the annotation C(responder/kubernetes-kind) of the service, else V(Deployment).
    type: str
    choices:
      - Deployment
      - StatefulSet
      - DaemonSet
    default: Deployment
  name:
    description:
      - Name of the workload. Without it the workload is found by its labels.
      - Default is the annotation C(responder/kubernetes-name) of the service.
    type: str
  selector:
    description:
      - Label selector that one workload alone matches.
      - Default is the annotation C(backstage.io/kubernetes-label-selector) of the service.
    type: str
  kubernetes_id:
    description:
      - Value of the label C(backstage.io/kubernetes-id) of the workload, where no O(selector) is given.
      - Default is the annotation C(backstage.io/kubernetes-id) of the service.
    type: str
  timeout_s:
    description:
      - How long to wait for the rollout, in seconds.
    type: float
    default: 120.0
  to:
    description:
      - V(previous) for the newest earlier revision that no rollback has left, the number of a revision, an image, or the digest of an image (C(sha256:...)).
    type: str
    default: previous
"""

EXAMPLES = r"""
- name: Return checkout to the revision before
  sre.responder.kubernetes_rollback:
    incident: INC-1234
    service: checkout
    environment: staging
    namespace: shop
    name: checkout
    to: previous
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
    "namespace": {"type": "str"},
    "kind": {"type": "str", "choices": ["Deployment", "StatefulSet", "DaemonSet"], "default": "Deployment"},
    "name": {"type": "str"},
    "selector": {"type": "str"},
    "kubernetes_id": {"type": "str"},
    "timeout_s": {"type": "float", "default": 120.0},
    "to": {"type": "str", "default": "previous"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="kubernetes_rollback runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
