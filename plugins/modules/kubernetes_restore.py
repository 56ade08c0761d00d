#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_restore
short_description: Return one object on Kubernetes to how it was when its service was healthy
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Restores a Service, NetworkPolicy, ResourceQuota, LimitRange, HorizontalPodAutoscaler, ConfigMap, the number of pods of a workload, or a node
    that was cordoned. A Service, NetworkPolicy or ConfigMap that was deleted is created again.
  - How it was is what Responder captured when the service was last measured healthy, at most a week ago; else what C(kubectl apply) last applied;
    else the deployed Helm release. If nothing says, it is refused.
  - Not applicable where the object is as it was, or where its change is not why the service fails. A change counts if the object keeps users
    from the service now and would not as it was; or if the pods are in order, and the object was changed after their template was made.
  - 'A NetworkPolicy, ResourceQuota or LimitRange that did not exist while the service was healthy is not deleted: the policy no longer selects
    these pods, the quota no longer limits.'
  - The plan shows the difference, and who changed the object and when. What Responder itself has set, as a containment, is left alone. Templates
    are for M(sre.responder.kubernetes_rollback); secrets are never restored.
extends_documentation_fragment:
  - sre.responder.guarded
  - sre.responder.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Values of a ConfigMap are hidden.
  mutates:
    support: full
  undo:
    support: full
    details: The undo playbook is written before anything changes; it needs C(kubectl). Values of a ConfigMap are not kept, so its restoring cannot
      be undone.
  guard:
    support: full
    details: Rung 2.
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
  object:
    description:
      - The object to restore, as C(KIND/NAME). Without it, the one of the service's objects whose change is the reason for the fault.
    type: str
"""

EXAMPLES = r"""
- name: Restore what was changed in front of checkout
  sre.responder.kubernetes_restore:
    incident: INC-1234
    service: checkout
    environment: staging
    namespace: shop
    name: checkout
- name: Restore the Service of checkout
  sre.responder.kubernetes_restore:
    incident: INC-1234
    service: checkout
    environment: staging
    namespace: shop
    name: checkout
    object: Service/checkout
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
    "object": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="kubernetes_restore runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
