# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds a workload on Kubernetes; one that is not found, or is not the only one, is refused."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
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
    type: str
    required: true
  kind:
    description:
      - Kind of the workload.
      - Default is the annotation C(responder/kubernetes-kind) of the service, else V(Deployment).
    type: str
    choices: [Deployment, StatefulSet, DaemonSet]
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
    description: How long to wait for the rollout, in seconds.
    type: float
    default: 120.0
"""
