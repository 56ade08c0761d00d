"""A workload called shop in a namespace of its own: made by real kubectl, read back from the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from sre_responder.effects.kubernetes.api import KINDS
from support.control_plane import Cluster, wait_until

Document = dict[str, Any]


def definition(kind: str) -> Document:
    """A custom resource of that kind which takes any fields."""
    prefix, plural = KINDS[kind]
    _, group, version = prefix.split("/")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


CUSTOM = ("Application", "Rollout", "Kustomization", "HelmRelease", "Canary")


@pytest.fixture(scope="module")
def custom(cluster: Cluster) -> Iterator[None]:
    """The cluster knows the kinds of Argo CD, Argo Rollouts, Flux and Flagger."""
    text = yaml.safe_dump_all([definition(kind) for kind in CUSTOM])
    cluster.apply(text)
    for kind in CUSTOM:
        wait_until(lambda k=kind: cluster.kubectl("get", k, "-A") or True, f"{kind} is served")
    yield
    cluster.kubectl("delete", "-f", "-", input=text)


def holder(shop: Shop, kind: str, name: str, spec: Document, status: Document | None = None) -> None:
    """A custom resource in the shop's namespace: somebody who may be at work on it."""
    prefix, _ = KINDS[kind]
    document = {"apiVersion": prefix.removeprefix("apis/"), "kind": kind, "metadata": {"name": name}, "spec": spec}
    shop.kubectl("apply", "-f", "-", input=yaml.safe_dump({**document, "status": status or {}}))


@dataclass(frozen=True)
class Shop:
    """The workload, and what an operator would type."""

    cluster: Cluster
    namespace: str
    kind: str = "Deployment"
    name: str = "shop"

    @property
    def arguments(self) -> dict[str, Any]:
        """How an effect finds it."""
        config = str(self.cluster.kubeconfig)
        return {
            "kubeconfig": config,
            "namespace": self.namespace,
            "kind": self.kind,
            "name": self.name,
            "timeout_s": 20,
        }

    def kubectl(self, *words: object, input: str = "", check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, input=input, check=check)

    def hold_elsewhere(self) -> None:
        """The Lease of a Responder on another machine."""
        place = {"name": f"responder-{self.document['metadata']['uid']}"}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": place}
        self.kubectl(
            "apply", "-f", "-", input=yaml.safe_dump({**lease, "spec": {"holderIdentity": "elsewhere/1/1.00"}})
        )

    def as_account(self, name: str, *rights: str) -> Shop:
        """The same workload as an account sees it that has these rights only, in the words of `kubectl create role`."""
        self.kubectl("create", "serviceaccount", name)
        for number, words in enumerate(rights):
            self.kubectl("create", "role", f"{name}-{number}", *words.split())
            account = f"--serviceaccount={self.namespace}:{name}"
            self.kubectl("create", "rolebinding", f"{name}-{number}", f"--role={name}-{number}", account)
        return replace(self, cluster=self.cluster.as_account(name, self.namespace))

    def manifest(self, tag: str, *, replicas: int = 2, env: Document | None = None, **spec: Any) -> str:
        container: Document = {"name": "shop", "image": f"registry.test:5000/shop:{tag}"}
        if env:
            container["env"] = [{"name": name, "value": value} for name, value in env.items()]
        template = {"metadata": {"labels": {"app": self.name}}, "spec": {"containers": [container]}}
        whole: Document = {"selector": {"matchLabels": {"app": self.name}}, "template": template, **spec}
        if self.kind != "DaemonSet":
            whole["replicas"] = replicas
        metadata = {"name": self.name, "labels": {"backstage.io/kubernetes-id": self.name}}
        return yaml.safe_dump({"apiVersion": "apps/v1", "kind": self.kind, "metadata": metadata, "spec": whole})

    def apply(self, tag: str, **more: Any) -> None:
        """Release that image, as `kubectl apply` does."""
        self.kubectl("apply", "-f", "-", input=self.manifest(tag, **more))

    def release(self, tag: str, **more: Any) -> None:
        """Release that image, and wait until it serves."""
        self.apply(tag, **more)
        self.kubectl("rollout", "status", f"{self.kind}/{self.name}", "--timeout=60s")

    def release_bad(self, tag: str = "bad-pull-2", **more: Any) -> None:
        """Release an image that does not come up, and wait until its first pod says so."""
        self.apply(tag, **more)
        wait_until(lambda: any("waiting" in state for state in self.states(tag)), f"no pod of {tag} fails")

    def states(self, tag: str) -> list[Document]:
        pods = self.cluster.get("pods", "-n", self.namespace)["items"]
        found = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
        return [status["state"] for status in found if status["image"].endswith(f":{tag}")]

    @property
    def document(self) -> Document:
        return dict(self.cluster.get(self.kind, self.name, "-n", self.namespace))

    @property
    def tag(self) -> str:
        """The tag of the image that the workload asks for."""
        return str(self.document["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])

    def pods(self) -> list[str]:
        """The names of the pods in its namespace."""
        return [pod["metadata"]["name"] for pod in self.cluster.get("pods", "-n", self.namespace)["items"]]

    def ready(self) -> list[str]:
        """The tag of each pod that is ready."""
        pods = self.cluster.get("pods", "-n", self.namespace)["items"]
        ready = [
            pod for pod in pods
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        ]  # fmt: skip
        return [pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in ready]

    def serving(self) -> set[str]:
        """The tags of the pods that are ready."""
        return {*self.ready()}
