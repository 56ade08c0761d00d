"""Workloads: found by name or by the service's labels, told apart by their template, asked how their rollout stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sre_responder.effects.kubernetes.api import Api, Document, Resource, label_value
from sre_responder.errors import EffectFailed, InputError
from sre_responder.model.names import shown
from sre_responder.model.plan import canonical

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
SERVICE_LABEL = "backstage.io/kubernetes-id"
PLAN, PLANNED = "responder.sre/plan", "planned"
"""Annotation of every workload that is written: the plan's digest; in a dry run, which comes before there is one, that word."""
PAUSED = "responder.sre/paused"
"""Annotation of a Deployment whose rollout Responder has paused: for which incident, and the generation which that made it."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
PATIENCE_SECONDS = 600
"""How long a rollout may go without progress: Kubernetes' own default of progressDeadlineSeconds."""
HASHES = ("pod-template-hash", "controller-revision-hash")


@dataclass(frozen=True)
class Workload:
    """One Deployment, StatefulSet or DaemonSet as the API server gave it."""

    kind: str
    document: Document

    @property
    def metadata(self) -> Document:
        return dict(self.document["metadata"])

    @property
    def spec(self) -> Document:
        return dict(self.document["spec"])

    @property
    def status(self) -> Document:
        return dict(self.document.get("status") or {})

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.metadata.get("annotations") or {})

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.metadata.get("labels") or {})

    @property
    def version(self) -> str:
        """The moment at which it was seen; what belongs to it is looked at no earlier."""
        return str(self.metadata["resourceVersion"])

    @property
    def uid(self) -> str:
        return str(self.metadata["uid"])

    @property
    def resource(self) -> Resource:
        return Resource(self.kind, self.metadata.get("namespace", ""), self.metadata["name"])

    @property
    def target(self) -> str:
        """One name for one thing: whoever asks, through whatever address, the object's own uid is the same."""
        return f"kubernetes:{self.metadata['namespace']}:{self.kind}/{self.metadata['name']}:{self.uid}"

    @property
    def replicas(self) -> int:
        """How many pods are wanted."""
        if self.kind == "DaemonSet":
            return int(self.status.get("desiredNumberScheduled", 0))
        return int(self.spec.get("replicas", 1))

    @property
    def available(self) -> int:
        """How many pods serve now."""
        return int(self.status.get("numberAvailable" if self.kind == "DaemonSet" else "availableReplicas") or 0)

    @property
    def existing(self) -> int:
        """How many pods there are."""
        return int(self.status.get("currentNumberScheduled" if self.kind == "DaemonSet" else "replicas") or 0)

    @property
    def updated(self) -> int:
        """How many pods are of the newest template."""
        name = "updatedNumberScheduled" if self.kind == "DaemonSet" else "updatedReplicas"
        return int(self.status.get(name) or 0)

    @property
    def on_delete(self) -> bool:
        """Whether its controller replaces no pod by itself."""
        return (self.spec.get("updateStrategy") or {}).get("type") == "OnDelete"

    @property
    def partition(self) -> int:
        """Below which of its numbers the pods of a StatefulSet are not updated."""
        strategy = self.spec.get("updateStrategy") or {}
        return 0 if self.on_delete else int((strategy.get("rollingUpdate") or {}).get("partition") or 0)

    @property
    def patience_s(self) -> float:
        """How long its rollout may go without progress, as a Deployment says; else Kubernetes' own default."""
        return float(self.spec.get("progressDeadlineSeconds") or PATIENCE_SECONDS)

    @property
    def template(self) -> Document:
        return dict(self.spec["template"])

    def owns(self, document: Document) -> bool:
        """Whether this very object controls another: by uid, for labels may be anybody's."""
        owners = document["metadata"].get("ownerReferences") or []
        return any(owner.get("controller") and owner["uid"] == self.uid for owner in owners)


def paused_for(workload: Workload) -> str | None:
    """The incident for which Responder has paused the rollout; None where it goes on, or where anything was set since."""
    incident, _, generation = workload.annotations.get(PAUSED, "").partition(" ")
    ours = workload.spec.get("paused") and generation == str(workload.metadata["generation"])
    return incident if ours else None


def find(api: Api, arguments: Mapping[str, Any]) -> Workload:
    """The one workload that the arguments name. InputError where there is none, more than one, or one of another service."""
    kind, namespace = str(arguments.get("kind") or "Deployment"), str(arguments["namespace"])
    if name := arguments.get("name"):
        try:
            found = api.get(Resource(kind, namespace, str(name)))
        except InputError:
            _exists(api, namespace)
            raise
        return _own(Workload(kind, found), arguments)
    selector = arguments.get("selector")
    if not selector and (id := arguments.get("kubernetes_id")):
        selector = f"{SERVICE_LABEL}={label_value(str(id))}"
    if not selector:
        raise InputError(
            "no workload is named.",
            cure=f'Set name or selector, or the annotation {SERVICE_LABEL} of the service; an empty value never means "all".',
        )
    matching = api.search(Resource(kind, namespace), labelSelector=str(selector))
    if not matching:
        _exists(api, namespace)
    if len(matching) != 1:
        names = ", ".join(sorted(item["metadata"]["name"] for item in matching))
        raise InputError(
            f"{len(matching)} {kind}s in namespace {shown(namespace)} match '{shown(selector)}'" + (f": {names}." if names else "."),
            cure="Name one: name." if matching else "Check namespace, selector and the workload's labels.",
        )  # fmt: skip
    return _own(Workload(kind, matching[0]), arguments)


def _exists(api: Api, namespace: str) -> None:
    """InputError if there is no such namespace; where that may not be looked at, nothing is said of it."""
    try:
        api.get(Resource("Namespace", "", namespace))
    except InputError as error:
        raise InputError(
            f"namespace '{shown(namespace)}' does not exist at {api.server}.",
            cure="Correct backstage.io/kubernetes-namespace of the service, or its context (responder/kubernetes-context).",
        ) from error
    except EffectFailed:
        return


def _own(workload: Workload, arguments: Mapping[str, Any]) -> Workload:
    """The workload, unless its label says that it is another service's: the gates have looked at the one that was named."""
    labelled, asked = workload.labels.get(SERVICE_LABEL), arguments.get("kubernetes_id")
    if labelled and asked and labelled != asked:
        raise InputError(
            f"{workload.resource} is of '{shown(labelled)}' by its label {SERVICE_LABEL}, not of '{shown(asked)}'.",
            cure="Name a workload of the service, or correct the label or the catalogue.",
        )
    return workload


def plan_of(arguments: Mapping[str, Any]) -> str:
    """What a write of these arguments has in the annotation PLAN; admission demands it of Responder's account."""
    return str(arguments.get("_plan") or PLANNED)


def marked(document: Workload, arguments: Mapping[str, Any], also: Mapping[str, str] | None = None) -> Document:
    """The operation that writes the plan, and other marks, on an object. The change cause is left alone: kubectl takes it for
    the revision's."""
    annotations = {**document.annotations, PLAN: plan_of(arguments), **(also or {})}
    return {"op": "add", "path": "/metadata/annotations", "value": annotations}


def pure(template: Document) -> Document:
    """A pod template without the hash that a controller adds to it."""
    metadata = dict(template.get("metadata") or {})
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name not in HASHES}
    kept = {name: value for name, value in metadata.items() if value is not None}
    return {**template, "metadata": {**kept, "labels": labels}}


def fingerprint(template: Document) -> str:
    """What identifies a template: equal templates give equal words, whichever revision they stand in."""
    return digest(pure(template))


def digest(value: object) -> str:
    """A value as a short word: equal values give equal words."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def content(template: Document) -> str:
    """What identifies what a template runs: a restart marks the template anew, and runs the same."""
    metadata = pure(template)["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != RESTARTED}
    return digest({**pure(template), "metadata": {**metadata, "annotations": annotations}})


def images(template: Document) -> dict[str, str]:
    """Each container's image, by the container's name."""
    spec = template["spec"]
    return {c["name"]: c["image"] for c in (*(spec.get("initContainers") or ()), *spec["containers"])}


def condition(document: Document, type: str) -> Document:
    """A condition of a status; empty where there is none."""
    conditions = (document.get("status") or {}).get("conditions") or []
    return next((dict(entry) for entry in conditions if entry["type"] == type), {})


def changed_at(document: Document) -> str:
    """When somebody last wrote an object itself, and not its status: a time of the API."""
    metadata = document["metadata"]
    writes = [one for one in metadata.get("managedFields") or () if not one.get("subresource")]
    return str(max([metadata["creationTimestamp"], *(one.get("time") or "" for one in writes)]))


def lost(node: Document) -> bool:
    """Whether a node's kubelet answers no more, as its controller says: nobody there confirms that a pod has ended."""
    return condition(node, "Ready").get("status") == "Unknown"


def seen(workload: Workload) -> bool:
    """Whether its controller has seen the newest spec; before that its status is about an earlier one."""
    return int(workload.status.get("observedGeneration", 0)) >= int(workload.metadata["generation"])


def rolled_out(workload: Workload) -> bool:
    """Whether the controller has seen the newest template, and every pod that shall be of it is, and serves.

    Controllers count by the revision of the pods. Those below a StatefulSet's partition stay on the earlier one by design.
    """
    wanted = workload.replicas
    kept = min(workload.partition, wanted)
    return seen(workload) and workload.existing == wanted == workload.available and workload.updated >= wanted - kept


def scaled(workload: Workload) -> bool:
    """Whether as many pods as are wanted are there and serve, of whichever template."""
    return seen(workload) and workload.existing == workload.replicas == workload.available


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of the API (matchLabels, matchExpressions) selects these labels; an empty one selects all."""
    exact = selector.get("matchLabels") or {}
    fits = (_fits(entry, labels) for entry in selector.get("matchExpressions") or ())
    return exact.items() <= labels.items() and all(fits)


def _fits(entry: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    there, values = labels.get(entry["key"]), entry.get("values") or ()
    return {
        "In": there in values, "NotIn": there not in values, "Exists": there is not None, "DoesNotExist": there is None,
    }[entry["operator"]]  # fmt: skip


def keys_of(selector: Mapping[str, Any]) -> set[str]:
    """The labels that a label selector asks for."""
    return {*(selector.get("matchLabels") or {}), *(entry["key"] for entry in selector.get("matchExpressions") or ())}


def kubectl(arguments: Mapping[str, Any], namespace: str, *words: str) -> dict[str, Any]:
    """A task that any operator can run by hand: no secret stands in it, kubectl brings its own."""
    where = [
        word for name in ("kubeconfig", "context") if arguments.get(name) for word in (f"--{name}", arguments[name])
    ]
    argv = ["kubectl", *where, "--namespace", namespace, *words]
    return {"ansible.builtin.command": {"argv": argv}, "changed_when": True}
