# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which every module of Kubernetes finds its workload; doc_fragments/kubernetes.py describes them."""

from __future__ import annotations

WORKLOAD = {
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "namespace": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["Deployment", "StatefulSet", "DaemonSet"], "default": "Deployment"},
    "name": {"type": "str"},
    "selector": {"type": "str"},
    "kubernetes_id": {"type": "str"},
    "timeout_s": {"type": "float", "default": 120.0},
}
