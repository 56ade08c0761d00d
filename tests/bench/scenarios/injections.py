"""How each mechanism is broken, by the id under which scenarios name it: every one a change of API objects, as somebody would make it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from support.control_plane import Cluster, node, takes_pods, wait_until

from bench.scenarios.application import REGISTRY, WORKLOADS, Service, settings
from bench.scenarios.given import Injection

OWN_NODE = "-alone"
"""How the name of a node ends that exists for one scenario."""
Faults = list[str]
"""The objects whose state is the fault: kind, namespace and name, as a snapshot names them."""


@dataclass(frozen=True)
class Place:
    """Where an injection acts: the cluster, the service that it breaks, and the object that it names."""

    cluster: Cluster
    service: Service
    injection: Injection

    @property
    def args(self) -> Mapping[str, Any]:
        return self.injection.args

    @property
    def named(self) -> tuple[str, str]:
        """Kind and name of the object that the injection names."""
        object = self.injection.object
        return str(object["kind"]), str(object["metadata"]["name"])

    @property
    def workload(self) -> tuple[str, str]:
        """The workload that is named, else that of the service."""
        return self.named if self.named[0] in WORKLOADS else (self.service.kind, self.service.name)

    @property
    def container(self) -> str:
        given = (self.args.get("container") or {}).get("name")
        return str(given or self.service.container or self.service.name)

    def fault(self, kind: str, name: str) -> Faults:
        return [f"{kind}/{self.service.namespace}/{name}"]

    def kubectl(self, *words: object) -> str:
        return self.cluster.kubectl("-n", self.service.namespace, *words)

    def create(self, api: str, kind: str, name: str, **fields: Any) -> Faults:
        metadata = {"name": name, "namespace": self.service.namespace}
        self.cluster.apply(yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": metadata, **fields}))
        return self.fault(kind, name)

    def change(self, **fields: Any) -> Faults:
        """Change fields of the object that is named."""
        kind, name = self.named
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(fields))
        return self.fault(kind, name)

    def pods(self, **spec: Any) -> Faults:
        """Change what the workload's pods are to be."""
        kind, name = self.workload
        patch = {"spec": {"template": {"spec": spec}}}
        self.kubectl("patch", kind, name, "--type=strategic", "-p", json.dumps(patch))
        return self.fault(kind, name)

    def of_container(self, **fields: Any) -> Faults:
        """Change the container that is named."""
        return self.pods(containers=[{"name": self.container, **fields}])


def _setting(place: Place) -> Faults:
    """Settings of a container that lead nowhere."""
    given = settings(place.args["container"])
    return place.of_container(env=[{"name": name, "value": value} for name, value in given])


def _image(tag: str) -> Callable[[Place], Faults]:
    return lambda place: place.of_container(image=f"{REGISTRY}/{place.service.name}:{tag}")


def _starved(place: Place) -> Faults:
    """Less memory than the program needs to start."""
    return place.of_container(resources={"requests": {"memory": "10Mi"}, "limits": {"memory": "10Mi"}})


def _never_ready(place: Place) -> Faults:
    """A readiness probe of a port on which nothing listens."""
    probe = {"httpGet": {"path": "/ready", "port": place.service.port + 1}, "periodSeconds": 1}
    return place.of_container(readinessProbe=probe)


def _target_port(place: Place) -> Faults:
    target = place.args.get("targetPort", place.service.port + 1)
    return place.change(spec={"ports": [{"name": "http", "port": 80, "targetPort": target}]})


def _selector(place: Place) -> Faults:
    return place.change(spec={"selector": place.args.get("selector") or {"app": f"{place.service.name}-elsewhere"}})


def _deleted(place: Place) -> Faults:
    place.kubectl("delete", *place.named)
    return place.fault(*place.named)


def _no_ingress(place: Place) -> Faults:
    spec = {"podSelector": {"matchLabels": place.service.selector}, "policyTypes": ["Ingress"], "ingress": []}
    return place.create("networking.k8s.io/v1", "NetworkPolicy", f"{place.service.name}-ingress", spec=spec)


def _preempted(place: Place) -> Faults:
    """The workload is bound to one node, and somebody more important takes all of that node."""
    first, above = f"{place.service.name}{OWN_NODE}", f"above-{place.service.name}"
    place.cluster.apply(yaml.safe_dump(node(first)))
    wait_until(lambda: takes_pods(place.cluster.get("node", first)), f"{first} takes pods")
    there = {"nodeSelector": {"kubernetes.io/hostname": first}}
    faults = place.pods(**there)
    place.kubectl("rollout", "status", "/".join(place.workload), "--timeout=60s")
    importance = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": above}}
    place.cluster.apply(yaml.safe_dump({**importance, "value": 1000000}))
    container = {"name": "batch", "image": f"{REGISTRY}/batch:1", "resources": {"requests": {"cpu": "31950m"}}}
    template = {
        "metadata": {"labels": {"app": above}},
        "spec": {**there, "containers": [container], "priorityClassName": above},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": above}}, "template": template}
    return [*faults, *place.create("apps/v1", "Deployment", above, spec=spec)]


def _no_storage(place: Place) -> Faults:
    """A volume whose storage class does not exist."""
    claim = f"{place.service.name}-data"
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "there-is-none", "resources": {"requests": {"storage": "1Gi"}}}  # fmt: skip
    place.create("v1", "PersistentVolumeClaim", claim, spec=spec)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    mounting = {"name": place.container, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return place.pods(volumes=[volume], containers=[mounting])


def _no_node(place: Place) -> Faults:
    """Pods that ask for a node which is not there."""
    return place.pods(nodeSelector={"kubernetes.io/hostname": "there-is-none"})


def _no_pods(place: Place) -> Faults:
    place.kubectl("scale", "/".join(place.workload), "--replicas=0")
    return place.fault(*place.workload)


def _init(place: Place) -> Faults:
    """An init container that runs a script of a ConfigMap, and ends with an error."""
    name = str(place.args.get("configMapName") or f"{place.service.name}-script")
    script = place.create("v1", "ConfigMap", name, data={"prepare.sh": "exit 1\n"})
    mount = {"name": "script", "mountPath": "/script"}
    init = {"name": "prepare", "image": f"{REGISTRY}/shell:crash", "command": ["sh", "/script/prepare.sh"], "volumeMounts": [mount]}  # fmt: skip
    volume = {"name": "script", "configMap": {"name": name}}
    return [*script, *place.pods(volumes=[volume], initContainers=[init])]


def _secret(place: Place) -> Faults:
    """Credentials that nobody accepts, in each entry of the Secret."""
    secret = json.loads(place.kubectl("get", *place.named, "-o", "json"))
    return place.change(data=dict.fromkeys(secret["data"], base64.b64encode(b"corrupted").decode()))


def _configuration(place: Place) -> Faults:
    return place.change(data={"mode": "unheard-of"})


def _flag(place: Place) -> Faults:
    """A feature flag, in the ConfigMap from which all of them are read."""
    flag = place.args["flag"]
    flags = json.dumps({"flags": {flag["name"]: {"state": "ENABLED", "defaultVariant": flag["state"]}}})
    return place.create("v1", "ConfigMap", place.named[1], data={"flags.json": flags})


def _quota(place: Place) -> Faults:
    """A quota below what the pods ask for; those that are there go, as from a node that is drained."""
    faults = place.create("v1", "ResourceQuota", "memory", spec={"hard": {"requests.memory": "64Mi"}})
    where = ("resourcequota", "memory", "-n", place.service.namespace)
    wait_until(lambda: (place.cluster.get(*where).get("status") or {}).get("hard"), "the quota counts")
    return [*faults, *_without_pods(place)]


def _without_pods(place: Place) -> Faults:
    labels = ",".join(f"{name}={value}" for name, value in place.service.selector.items())
    place.kubectl("delete", "pods", "-l", labels)
    return []


def _restarted(place: Place) -> Faults:
    place.kubectl("rollout", "restart", "/".join(place.workload))
    return []


def _cordoned(place: Place) -> Faults:
    """No node takes new pods, and those that are there go."""
    names = [one["metadata"]["name"] for one in place.cluster.get("nodes")["items"]]
    place.cluster.kubectl("cordon", *names)
    return [*(f"Node//{name}" for name in names), *_without_pods(place)]


def _autoscaler(place: Place) -> Faults:
    """An autoscaler that holds the workload at one pod, under any load."""
    return place.change(spec={"minReplicas": 1, "maxReplicas": 1})


MECHANISMS: Mapping[str, Callable[[Place], Faults]] = {
    "modified-kubernetes-workload-container-environment-variable": _setting,
    "nonexistent-kubernetes-workload-container-image": _image("bad-pull-3"),
    "unsupported-architecture-kubernetes-workload-container-image": _image("crash-exec-format-3"),
    "insufficient-kubernetes-workload-container-resources": _starved,
    "misconfigured-kubernetes-workload-container-readiness-probe": _never_ready,
    "modified-target-port-kubernetes-service": _target_port,
    "modified-selector-kubernetes-service": _selector,
    "deleted-kubernetes-service": _deleted,
    "ingress-port-blocking-network-policy": _no_ingress,
    "priority-kubernetes-workload-priority-preemption": _preempted,
    "nonexistent-kubernetes-workload-persistent-volume-claim": _no_storage,
    "nonexistent-kubernetes-workload-node": _no_node,
    "scaled-to-zero-kubernetes-workload": _no_pods,
    "crashing-kubernetes-workload-init-container": _init,
    "corrupted-kubernetes-secret-credentials": _secret,
    "modified-kubernetes-config-map": _configuration,
    "opentelemetry-demo-feature-flag": _flag,
    "insufficient-kubernetes-resource-quota": _quota,
    "cordoned-kubernetes-worker-node": _cordoned,
    "misconfigured-kubernetes-horizontal-pod-autoscaler": _autoscaler,
    "delete-workload-pods": _without_pods,
    "restart-kubernetes-workload": _restarted,
}
"""Each breaks something, or does what follows, and gives the faulty objects."""
