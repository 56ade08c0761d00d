"""A site of two nodes, with a workload called shop on the first: for what happens to a whole node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes.workload import lost
from support.control_plane import Cluster, node, takes_pods, wait_until
from support.kubernetes_shop import Shop

DRAIN = EFFECTS["kubernetes_drain"]
Document = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Two nodes that take the pods of one test only, and a workload called shop on the first."""

    shop: Shop
    node: str
    other: str

    @property
    def arguments(self) -> dict[str, Any]:
        return {"kubeconfig": str(self.shop.cluster.kubeconfig), "node": self.node, "timeout_s": 20}

    @property
    def document(self) -> Document:
        return dict(self.shop.cluster.get("node", self.node))

    def plan(self) -> Change:
        return DRAIN.plan(self.arguments)

    def act(self, change: Change, **more: Any) -> dict[str, Any]:
        return DRAIN.act({**self.arguments, "_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234", **more}, change)

    def on(self, node: str) -> list[Document]:
        found = self.shop.cluster.get("pods", "-n", self.shop.namespace)["items"]
        return [pod for pod in found if pod["spec"].get("nodeName") == node]

    def placed(self, text: str, **more: Any) -> str:
        """The manifest of a workload whose pods go to these nodes alone."""
        document = yaml.safe_load(text)
        document["spec"]["template"]["spec"] |= {
            "nodeSelector": {"site": self.shop.namespace}, "tolerations": [{"operator": "Exists", "key": "site"}], **more,
        }  # fmt: skip
        return yaml.safe_dump(document)

    def fill(self, tag: str = "1", *, replicas: int = 2, **more: Any) -> None:
        """The workload with all its pods on the first node."""
        self.shop.cluster.kubectl("cordon", self.other)
        self.shop.kubectl("apply", "-f", "-", input=self.placed(self.shop.manifest(tag, replicas=replicas), **more))
        self.shop.kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
        self.shop.cluster.kubectl("uncordon", self.other)

    def pod(self, name: str, **metadata: Any) -> None:
        """A pod of nobody, on the first node."""
        container = {"name": "x", "image": "registry.test:5000/x:1"}
        spec = {"nodeName": self.node, "containers": [container], "tolerations": [{"operator": "Exists"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
        self.shop.kubectl("create", "-f", "-", input=json.dumps(pod))

    def lose(self) -> None:
        """The first node is gone without a word, and its controller has seen that it does not answer."""
        self.shop.cluster.kubectl("label", "node", self.node, "kubelet-")
        wait_until(lambda: lost(self.document), "its silence is noticed", 60)

    def budget(self, healthy: int) -> None:
        self.shop.kubectl("create", "pdb", "keep", "--selector=app=shop", f"--min-available={healthy}")
        status = ("pdb", "keep", "-n", self.shop.namespace)
        wait_until(lambda: self.shop.cluster.get(*status)["status"].get("expectedPods"), "it counts")


@pytest.fixture
def site(own_cluster: Cluster, namespace: str) -> Iterator[Site]:
    names = [f"{namespace}-{letter}" for letter in "ab"]
    for name in names:
        document = node(name)
        document["metadata"]["labels"]["site"] = namespace
        document["spec"] = {"taints": [{"key": "site", "effect": "NoSchedule"}]}
        own_cluster.apply(yaml.safe_dump(document))

    def ready(name: str) -> bool:
        found = own_cluster.get("node", name)
        taints = [taint for taint in found["spec"]["taints"] if taint["key"] != "site"]
        return takes_pods({**found, "spec": {"taints": taints}})

    wait_until(lambda: all(map(ready, names)), "the nodes take pods")
    yield Site(Shop(own_cluster, namespace), *names)
    own_cluster.kubectl("delete", "node", *names)
