"""What users of each service meet: asked of the cluster's own objects, along the way that a request would take."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.control_plane import Cluster

from bench.scenarios.application import GOOD, Service
from sre_responder.effects.kubernetes.workload import selects

Document = dict[str, Any]
FLAGS = "flags.json"
"""Where a ConfigMap keeps feature flags; one that is on brings more load than the application takes."""
KINDS = "services,pods,networkpolicies,endpointslices,configmaps,secrets"


def served(cluster: Cluster, service: Service) -> tuple[float, str]:
    """The share of requests that are answered well, and why not all are."""
    found = cluster.get(KINDS, "-n", service.namespace)["items"]
    return _served(service, {(one["kind"], one["metadata"]["name"]): one for one in found})


def _served(service: Service, objects: Mapping[tuple[str, str], Document]) -> tuple[float, str]:
    def all_of(kind: str) -> list[Document]:
        return [one for (its, _), one in objects.items() if its == kind]

    def data(kind: str, name: str) -> Document:
        return (objects.get((kind, name)) or {}).get("data") or {}

    if ("Service", service.name) not in objects:
        return 0.0, "no such host"
    label = "kubernetes.io/service-name"
    slices = [one for one in all_of("EndpointSlice") if one["metadata"]["labels"].get(label) == service.name]
    ready = [e for one in slices for e in one.get("endpoints") or () if (e.get("conditions") or {}).get("ready")]
    pods = [pod for e in ready if (pod := objects.get(("Pod", (e.get("targetRef") or {}).get("name", ""))))]
    if not pods:
        return 0.0, "no endpoint is ready"
    if {port["port"] for one in slices for port in one.get("ports") or ()} != {service.port}:
        return 0.0, "connection refused: nothing listens on that port"
    if any(_blocks(policy, pod, service.port) for policy in all_of("NetworkPolicy") for pod in pods):
        return 0.0, "timed out"
    if {base64.b64decode(value).decode() for value in data("Secret", service.secret).values()} != {GOOD}:
        return 0.0, "the service cannot log in"
    if data("ConfigMap", service.configuration).get("mode") != GOOD:
        return 0.0, "the service does not know its mode"
    if any('"defaultVariant": "on"' in (one.get("data") or {}).get(FLAGS, "") for one in all_of("ConfigMap")):
        return 0.5, "too many requests"
    good = [pod for pod in pods if _well_set(pod, service)]
    return len(good) / len(pods), "" if len(good) == len(pods) else "what it depends on does not answer"


def _well_set(pod: Document, service: Service) -> bool:
    """Whether its containers have every setting as it should be."""
    env = {entry["name"]: entry.get("value") for one in pod["spec"]["containers"] for entry in one.get("env") or ()}
    return all(env.get(name) == value for name, value in service.settings.items())


def _blocks(policy: Document, pod: Document, port: int) -> bool:
    """Whether a policy lets nobody reach a pod's port."""
    spec = policy["spec"]
    about = selects(spec.get("podSelector") or {}, pod["metadata"]["labels"])
    if not about or "Ingress" not in spec.get("policyTypes", ["Ingress"]):
        return False
    rules: Sequence[Document] = spec.get("ingress") or ()
    open_to = [one.get("port") for rule in rules for one in rule.get("ports") or ({"port": port},)]
    return port not in open_to


class _Probe(BaseHTTPRequestHandler):
    """`/NAMESPACE/NAME`: how well that service answers, as a monitor in front of it would say."""

    def __init__(self, cluster: Cluster, services: Mapping[str, Service], *connection: Any) -> None:
        self.cluster, self.services = cluster, services
        super().__init__(*connection)

    def do_GET(self) -> None:
        share, why = served(self.cluster, self.services[self.path.strip("/")])
        self.send_response(200 if share else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"success_rate": share, "error": why}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def probes(cluster: Cluster, services: Sequence[Service]) -> Iterator[str]:
    """The address under which users' experience of these services can be read."""
    known = {f"{service.namespace}/{service.name}": service for service in services}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Probe, cluster, known))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
