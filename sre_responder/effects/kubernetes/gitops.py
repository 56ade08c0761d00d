"""Who keeps a workload as Git says: how it is told to leave it alone, and whether Git and cluster agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sre_responder.effects.kubernetes.api import KINDS, Api, Document, Resource, connect
from sre_responder.effects.kubernetes.workload import Workload, condition, find
from sre_responder.errors import InputError
from sre_responder.model.names import shown

ARGO = "argocd.argoproj.io/tracking-id"
ARGO_LABEL = "argocd.argoproj.io/instance"
ARGO_SKIP = "argocd.argoproj.io/skip-reconcile"
FLUX = {"Kustomization": "kustomize.toolkit.fluxcd.io", "HelmRelease": "helm.toolkit.fluxcd.io"}
FLUX_SKIP = f"{FLUX['Kustomization']}/reconcile"
CONTROLLERS = ("argocd", "kustomize-controller", "helm-controller", "kube-controller-manager")
"""Beginnings of the names under which GitOps writes, and the autoscaler, whose count Git does not say (field managers)."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Switch:
    """What makes a keeper leave a workload alone: fields of one object, which are otherwise not there."""

    document: Document
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, bool] = field(default_factory=dict)

    @property
    def place(self) -> Resource:
        metadata = self.document["metadata"]
        return Resource(self.document["kind"], metadata["namespace"], metadata["name"])

    @property
    def type(self) -> str:
        """How kubectl calls its kind, whatever else of that name the cluster knows."""
        prefix, plural = KINDS[self.document["kind"]]
        return f"{plural}.{prefix.split('/')[1]}"


@dataclass(frozen=True)
class Keeper:
    """Whoever puts a workload back to what Git says, as far as this cluster knows of it."""

    system: str
    what: str
    document: Document | None
    """None where its mark is on the workload, and it is elsewhere."""
    heals: bool
    """Whether it puts back what somebody else changed."""
    held: bool
    switch: Switch | None
    """None where it is not known where to tell it."""

    def __str__(self) -> str:
        return f"{self.system} ({self.what})"


def keepers(api: Api, workload: Workload) -> list[Keeper]:
    """Everybody who left a mark on the workload; none where it is nobody's."""
    found = (_argo_cd(api, workload), *(_flux(api, workload, kind) for kind in FLUX))
    return [keeper for keeper in found if keeper is not None]


def healing(api: Api, workload: Workload) -> list[Keeper]:
    """Those who would put back now what is done to the workload."""
    return [keeper for keeper in keepers(api, workload) if keeper.heals and not keeper.held]


def application_of(workload: Workload) -> str | None:
    """The Argo CD application that tracks the workload; one outside Argo CD's own namespace as NAMESPACE_NAME."""
    tracking = workload.annotations.get(ARGO)
    return tracking.split(":")[0] if tracking else workload.labels.get(ARGO_LABEL)


def disagreement(arguments: Mapping[str, Any]) -> str | None:
    """Why Git and cluster disagree on the workload, or may; None where they agree, where nobody keeps it, or where it is gone."""
    api = connect(arguments)
    try:
        workload = find(api, arguments)
    except InputError:
        return None
    return differing(api, workload)


def differing(api: Api, workload: Workload) -> str | None:
    """Why Git and cluster disagree on an object, or may; None where they agree, or where nobody keeps it."""
    written = _written(workload)
    reasons = (_differs(keeper, workload, written) for keeper in keepers(api, workload))
    return "; ".join(f"{workload.resource}: {reason}" for reason in reasons if reason) or None


def _marked(document: Document, key: str, value: str) -> bool:
    return (document["metadata"].get("annotations") or {}).get(key) == value


def _argo_cd(api: Api, workload: Workload) -> Keeper | None:
    """An application that heals itself puts back within seconds what Git says; one that does not is only out of sync."""
    if (tracked := application_of(workload)) is None:
        return None
    namespace, _, name = tracked.rpartition("_")
    found = [
        {"kind": "Application", **one} for one in api.known(Resource("Application", ""))
        if one["metadata"]["name"] == name and namespace in ("", one["metadata"]["namespace"])
    ]  # fmt: skip
    automated = [(one["spec"].get("syncPolicy") or {}).get("automated") for one in found]
    one = found[0] if len(found) == 1 else None
    return Keeper(
        "Argo CD", f"application {tracked}", one,
        heals=not found or any(policy is not None and policy.get("selfHeal") for policy in automated),
        held=one is not None and _marked(one, ARGO_SKIP, "true"),
        switch=Switch(one, annotations={ARGO_SKIP: "true"}) if one else None,
    )  # fmt: skip


def _flux(api: Api, workload: Workload, kind: str) -> Keeper | None:
    name, namespace = (workload.labels.get(f"{FLUX[kind]}/{part}") for part in ("name", "namespace"))
    if name is None:
        return None
    one = api.seek(Resource(kind, namespace or workload.metadata["namespace"], name))  # it may be elsewhere
    suspended = bool(one and one["spec"].get("suspend"))
    own = {"kind": workload.kind, **workload.document}
    if kind == "Kustomization":  # it can be told on the workload itself, and goes on with everything else
        held = suspended or _marked(own, FLUX_SKIP, "disabled")
        switch: Switch | None = Switch(own, annotations={FLUX_SKIP: "disabled"})
    else:
        held, switch = suspended, Switch(one, spec={"suspend": True}) if one else None
    return Keeper("Flux", f"{kind} {name}", one, heals=True, held=held, switch=switch)


def _written(workload: Workload) -> datetime:
    """When what the workload shall be was last written by a person, or by Responder."""
    times = [
        _time(entry.get("time"))
        for entry in workload.metadata.get("managedFields") or ()
        if {"f:spec", "f:data"} & (entry.get("fieldsV1") or {}).keys()
        and not str(entry.get("manager")).startswith(CONTROLLERS)
    ]
    return max(times, default=_LONG_AGO)


def _time(text: str | None) -> datetime:
    """A time of the API; what is none, as the word of somebody who asked Flux by hand may be, is long ago."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else _LONG_AGO


def _differs(keeper: Keeper, workload: Workload, written: datetime) -> str | None:
    """A keeper's word counts once it has looked since the workload was written; what it does not look at, nobody can tell."""
    if keeper.document is None:
        return f"{keeper} is not in this cluster: ask there"
    if keeper.held:
        return f"{keeper} is held off, so nobody can tell whether Git says the same"
    ask = _argo_cd_says if keeper.document["kind"] == "Application" else _flux_says
    said = ask(keeper.document, workload)
    if not said.well:
        return f"{keeper} says {shown(said.word, 200)}"
    if _time(said.looked) <= written:
        return f"{keeper} has not looked at it since it was written ({written:%H:%M:%S} UTC): {said.how}"
    return None


@dataclass(frozen=True)
class _Said:
    """A keeper's word on a workload: whether Git and cluster agree, when it looked, and how it is made to look again."""

    well: bool
    word: str
    looked: str | None
    how: str


def _argo_cd_says(application: Document, workload: Workload) -> _Said:
    status = application.get("status") or {}
    word = next((one.get("status") for one in status.get("resources") or () if _same(one, workload)), None)
    how = f"argocd app get {application['metadata']['name']} --refresh"
    return _Said(word == "Synced", word or "nothing of it", status.get("reconciledAt"), how)


def _flux_says(document: Document, _: Workload) -> _Said:
    kind, metadata, status = document["kind"], document["metadata"], document.get("status") or {}
    last, ready = (status.get("history") or [{}])[0], condition(document, "Ready")
    looked = max(status.get("lastHandledReconcileAt"), last.get("lastReconciled"), key=_time)
    how = f"flux reconcile {kind.lower()} {metadata['name']} -n {metadata['namespace']}"
    if kind == "HelmRelease" and (document["spec"].get("driftDetection") or {}).get("mode") != "enabled":
        looked, how = last.get("lastDeployed"), f"{how} --force"  # without it Helm looks at its chart alone
    return _Said(ready.get("status") == "True", ready.get("message") or "that it is not ready", looked, how)


def _same(entry: Mapping[str, Any], workload: Workload) -> bool:
    own = (workload.kind, workload.metadata["namespace"], workload.metadata["name"])
    return (entry.get("kind"), entry.get("namespace"), entry.get("name")) == own
