"""The application in which something breaks: real objects for each service that a scenario names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from support.control_plane import Cluster

from bench.scenarios.given import Disruption, Injection

Document = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
REGISTRY = "registry.test:5000"
REPLICAS = 2
GOOD = "as-it-should-be"
"""The value of every setting that a fault may change."""


@dataclass
class Service:
    """One service and all that belongs to it; how it must be set for its users to be served."""

    name: str
    namespace: str
    kind: str = "Deployment"
    container: str = ""
    port: int = 8080
    settings: dict[str, str] = field(default_factory=dict)
    secret: str = ""

    def __post_init__(self) -> None:
        self.secret = self.secret or f"{self.name}-credentials"

    @property
    def selector(self) -> dict[str, str]:
        return {"app": self.name}

    @property
    def configuration(self) -> str:
        return f"{self.name}-settings"

    def manifests(self, release: int, autoscaled: bool) -> Iterator[Document]:
        """Everything of it, as a team would apply it at that release."""
        named: Document = {"name": self.name, "namespace": self.namespace}
        labelled = {**named, "labels": {"app": self.name, "backstage.io/kubernetes-id": self.name}}
        settings = {**named, "name": self.configuration}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": settings, "data": {"mode": GOOD}}
        secret = {**named, "name": self.secret}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"password": GOOD}}
        front = {"selector": self.selector, "ports": [{"name": "http", "port": 80, "targetPort": self.port}]}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": labelled, "spec": front}
        spec: Document = {"selector": {"matchLabels": self.selector}, "template": self._template(release)}
        if self.kind != "DaemonSet":
            spec["replicas"] = REPLICAS
        if self.kind == "StatefulSet":
            spec["serviceName"] = self.name
        yield {"apiVersion": "apps/v1", "kind": self.kind, "metadata": labelled, "spec": spec}
        if autoscaled and self.kind != "DaemonSet":
            target = {"apiVersion": "apps/v1", "kind": self.kind, "name": self.name}
            bounds = {"scaleTargetRef": target, "minReplicas": REPLICAS, "maxReplicas": 5}
            yield {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": named,
                "spec": bounds,
            }

    def _template(self, release: int) -> Document:
        container = {
            "name": self.container or self.name,
            "image": f"{REGISTRY}/{self.name}:{release}",
            "ports": [{"name": "http", "containerPort": self.port}],
            "env": [{"name": name, "value": value} for name, value in self.settings.items()],
            "envFrom": [{"configMapRef": {"name": self.configuration}}, {"secretRef": {"name": self.secret}}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": self.port}, "periodSeconds": 1},
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "1", "memory": "256Mi"},
            },
        }
        return {"metadata": {"labels": self.selector}, "spec": {"containers": [container]}}


def services(disruption: Disruption) -> list[Service]:
    """The service that a disruption breaks, first, and those that its parameters name besides."""
    found: dict[tuple[str, str], Service] = {}
    workloads = [str(i.object["metadata"]["name"]) for i in disruption.all if i.object.get("kind") in WORKLOADS]
    for injection in disruption.all:
        if not injection.object:
            continue
        place = str(injection.object["metadata"].get("namespace") or "shop")
        name = _service_of(injection.object, workloads)
        _fit(found.setdefault((place, name), Service(name, place)), injection)
    return list(found.values())


def _service_of(object: Mapping[str, Any], workloads: Sequence[str]) -> str:
    """The service to which an object belongs: by its name, or what refers to it by the workload that is named beside it."""
    name, kind = str(object["metadata"]["name"]), object.get("kind")
    bare = re.sub(r"(-service)?-(secrets?|credentials|config|settings)$", "", name)
    beside = next((one for one in workloads if one in (name, bare)), None)
    return beside or (workloads[0] if kind == "Secret" and workloads else bare)


def _fit(service: Service, injection: Injection) -> None:
    """The service has what the injection will change: its kind, a container of that name, a setting, a secret, another port."""
    object, container = injection.object, injection.args.get("container") or {}
    if object.get("kind") in WORKLOADS:
        service.kind = str(object["kind"])
    if object.get("kind") == "Secret":
        service.secret = str(object["metadata"]["name"])
    service.container = str(container.get("name") or service.container)
    for name, _ in settings(container):
        service.settings[name] = GOOD
    if injection.args.get("targetPort") == service.port:
        service.port = 9555


def settings(container: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Environment variables of an injection: one, or a list of them."""
    given = container.get("env") or ()
    entries = [given] if isinstance(given, Mapping) else given
    return [(str(entry["name"]), str(entry.get("value", ""))) for entry in entries]


def build(cluster: Cluster, services: Sequence[Service], autoscaled: bool) -> None:
    """Two releases of everything, one after the other, as there are after some weeks; returns when all of it serves."""
    for namespace in sorted({service.namespace for service in services}):
        cluster.kubectl("create", "namespace", namespace)
    for release in (1, 2):
        documents = [document for service in services for document in service.manifests(release, autoscaled)]
        cluster.apply(yaml.safe_dump_all(documents))
        for service in services:
            place = ("-n", service.namespace, "--timeout=60s")
            cluster.kubectl("rollout", "status", f"{service.kind}/{service.name}", *place)
