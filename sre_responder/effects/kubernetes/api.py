"""The API server of a cluster, asked and told in plain JSON: a refusal becomes a sentence that names verb, resource and cure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, urlencode

from sre_responder.effects.kubernetes.kubeconfig import client_of, expired, heard, untrusted
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused, ResponderError, StateMoved
from sre_responder.model import address
from sre_responder.model.names import shown

CONNECT_SECONDS, READ_SECONDS = 5, 30
PATIENCE_SECONDS = 15
"""How long a call waits in all where the API server asks to come back later (429, Retry-After)."""
MANAGER = "sre-responder"
"""The name under which the API server keeps what Responder has set (server-side apply: field manager)."""

Document = dict[str, Any]

KINDS = {
    "Deployment": ("apis/apps/v1", "deployments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "DaemonSet": ("apis/apps/v1", "daemonsets"),
    "ReplicaSet": ("apis/apps/v1", "replicasets"),
    "ControllerRevision": ("apis/apps/v1", "controllerrevisions"),
    "Pod": ("api/v1", "pods"),
    "Namespace": ("api/v1", "namespaces"),
    "Node": ("api/v1", "nodes"),
    "Event": ("api/v1", "events"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Service": ("api/v1", "services"),
    "ResourceQuota": ("api/v1", "resourcequotas"),
    "LimitRange": ("api/v1", "limitranges"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "Application": ("apis/argoproj.io/v1alpha1", "applications"),
    "Rollout": ("apis/argoproj.io/v1alpha1", "rollouts"),
    "Kustomization": ("apis/kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    "HelmRelease": ("apis/helm.toolkit.fluxcd.io/v2", "helmreleases"),
    "Canary": ("apis/flagger.app/v1beta1", "canaries"),
    "Machine": ("apis/cluster.x-k8s.io/v1beta1", "machines"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
}
METHODS = {"get": "GET", "list": "GET", "watch": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE"}
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Resource:
    """One object, or all of a kind, by its place in the API; what stands in no namespace has an empty one."""

    kind: str
    namespace: str
    name: str = ""
    part: str = ""

    @property
    def path(self) -> str:
        prefix, plural = KINDS[self.kind]
        where = ("namespaces", quote(self.namespace, safe="")) if self.namespace else ()
        words = (prefix, *where, plural, quote(self.name, safe=""), self.part)
        return "/" + "/".join(word for word in words if word)

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}" if self.name else f"{self.kind}s".replace("ys", "ies")
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.part} of {what}" if self.part else f"{what}{place}"


class Api:
    """One API server, as one account."""

    def __init__(self, load: Callable[[], Any]) -> None:
        """`load` gives a client of the client library, with the credentials as they are now."""
        self._load = load
        self._unrenewed = ""
        """Why no newer credentials could be had, if they could not."""
        self._use(load())
        self.server = str(self.configuration.host).rstrip("/")

    def _use(self, client: Any) -> None:
        self.pool, self.configuration = client.rest_client.pool_manager, client.configuration

    def get(self, resource: Resource) -> Document:
        return self.call("get", resource)

    def seek(self, resource: Resource) -> Document | None:
        """The object; None where there is none, or where the cluster does not know its kind."""
        try:
            return self.get(resource)
        except InputError:
            return None

    def known(self, resource: Resource) -> list[Document]:
        """Every object of a kind; none where the cluster does not know the kind."""
        try:
            return self.search(resource)
        except InputError:
            return []

    def search(self, resource: Resource, *, since: str = "", **query: str) -> list[Document]:
        """Every object of a kind; with `since` as it was at that resourceVersion or later. Without it the API server waits until
        its copy has seen the newest write of anybody to anything, some 40 ms after a write of ours."""
        if since:
            query |= {"resourceVersion": since, "resourceVersionMatch": "NotOlderThan"}
        return list(self.call("list", resource, query)["items"])

    def metadata(self, resource: Resource) -> Document:
        """Only the metadata of an object: the API server sends nothing else, so that a secret is not read."""
        return self.call("get", resource, accept=METADATA_ONLY.format(""))

    def labels(self, resource: Resource, **query: str) -> list[Document]:
        """Only the metadata of every object of a kind, labels among it: the API server sends nothing else."""
        return list(self.call("list", resource, query, accept=METADATA_ONLY.format("List"))["items"] or ())

    def create(self, resource: Resource, body: Document, *, dry_run: bool = False) -> Document:
        """Make an object; `resource` names it."""
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.call("create", replace(resource, name=""), query, body)

    def patch(self, resource: Resource, operations: list[Document], *, dry_run: bool = False) -> Document:
        """Apply a JSON patch (RFC 6902); as a dry run everything but the storing happens, admission included."""
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.call("patch", resource, query, operations, JSON_PATCH)

    def merge(self, resource: Resource, fields: Document, *, dry_run: bool = False) -> Document:
        """Set some fields and leave the others (RFC 7386); None takes one away."""
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.call("patch", resource, query, fields, MERGE_PATCH)

    def follow(self, resource: Resource, until: float) -> Iterator[Document]:
        """What was written, now and after each change of it, until that time of `time.monotonic`.

        A watch that breaks or is too old (410) begins anew with what is there. OutcomeUnknown where it may not be looked at.
        """
        try:
            yield from self._changes(resource, until)
        except EffectFailed as error:
            raise OutcomeUnknown(error.message, cure=error.cure) from error

    def _changes(self, resource: Resource, until: float) -> Iterator[Document]:
        while time.monotonic() < until:
            now = self.get(resource)
            yield now
            query = {
                "watch": "1", "fieldSelector": f"metadata.name={resource.name}", "allowWatchBookmarks": "true",
                "resourceVersion": now["metadata"]["resourceVersion"],
                "timeoutSeconds": str(max(1, int(until - time.monotonic()))),
            }  # fmt: skip
            yield from self._events(Resource(resource.kind, resource.namespace), query, until)

    def _events(self, resource: Resource, query: Mapping[str, str], until: float) -> Iterator[Document]:
        from urllib3.exceptions import HTTPError

        response = self._send("watch", resource, query, None, "", "application/json", until - time.monotonic())
        try:
            if response.status in (401, 403):
                raise self._refusal("watch", resource, response.status, _json(response.read()))
            if response.status >= 300:
                time.sleep(0.2)
                return
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] in ("ERROR", "DELETED"):
                    return
                if event["type"] != "BOOKMARK":
                    yield event["object"]
        except (HTTPError, OSError, ValueError):
            return  # cut in the middle: begin anew
        finally:
            response.close()

    def call(
        self,
        verb: str,
        resource: Resource,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Document:
        """One call. InputError where the object is not there, StateMoved on a conflict, Refused where admission denies,
        EffectFailed where nothing was changed, OutcomeUnknown where nobody can tell."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            response = self._send(verb, resource, query or {}, body, content, accept, READ_SECONDS)
            answer = _json(response.data)
            if response.status < 300:
                return answer
            later = response.headers.get("Retry-After", "")
            budget = any(cause.get("reason") == "DisruptionBudget" for cause in _causes(answer))
            if response.status != 429 or budget or not later.isdigit() or time.monotonic() + int(later) > until:
                raise self._refusal(verb, resource, response.status, answer)
            time.sleep(int(later))

    def _send(self, *words: Any) -> Any:
        """The answer to one request. One whose credentials are not accepted did nothing: it is sent once more with those of now."""
        response = self._request(*words)
        if response.status == 401 and self._renewed():
            response.close()
            response = self._request(*words)
        return response

    def _renewed(self) -> bool:
        """Take the credentials as they are now, where they are still for this API server."""
        try:
            client = self._load()
        except ResponderError as error:
            self._unrenewed = error.message.rstrip(".")
            return False
        if str(client.configuration.host).rstrip("/") == self.server:
            self._use(client)
            return True
        return False

    def _request(  # noqa: PLR0913 - the parts of an HTTP request
        self, verb: str, resource: Resource, query: Mapping[str, str], body: Any, content: str, accept: str, seconds: float
    ) -> Any:  # fmt: skip
        from urllib3 import Timeout
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError

        headers = {"Accept": accept, "User-Agent": MANAGER}
        with heard() as errors:  # a token that runs out is renewed here
            settings = self.configuration.auth_settings()
        self._unrenewed = next(iter(errors), "")
        for auth in settings.values():
            if auth.get("in") == "header":
                headers[auth["key"]] = auth["value"]
        if body is not None:
            headers["Content-Type"] = content
        try:
            return self.pool.request(
                METHODS[verb], f"{self.server}{resource.path}?{urlencode(query)}", headers=headers, retries=False,
                body=None if body is None else json.dumps(body), preload_content=verb != "watch",
                timeout=Timeout(connect=CONNECT_SECONDS, read=seconds),
            )  # fmt: skip
        except (HTTPError, OSError) as error:
            reached = not isinstance(error, NewConnectionError | ConnectTimeoutError | ProxyError)
            kind = OutcomeUnknown if reached and METHODS[verb] != "GET" else EffectFailed
            if distrust := untrusted(error):
                why, cure = distrust
                raise EffectFailed(
                    f"cannot {verb} {resource}: the API server {self.server} is not trusted: {why}.", cure=cure
                ) from error
            through = f" through the proxy {address.shown(proxy)}" if (proxy := self.configuration.proxy) else ""
            raise kind(
                f"cannot {verb} {resource}: the API server {self.server} does not answer{through} ({_cause(error)}).",
                cure="Check that it runs and can be reached from here.",
            ) from error

    def _refusal(self, verb: str, resource: Resource, status: int, answer: Document) -> ResponderError:
        said = shown(answer.get("message") or f"status {status}", 500).rstrip(".")
        tried = f"cannot {verb} {resource}"
        if "denied request" in said or "denied the request" in said:
            return Refused(f"{tried}: the cluster's admission denies it: {said}.", cure="Read that policy's message.")
        nobody = status == 403 and 'User "system:anonymous"' in said  # a plugin that gave no credentials
        if status == 401 or nobody:
            ended = expired(self.configuration.cert_file)
            why = f"the client certificate expired at {ended}" if ended else self._unrenewed or "expired or wrong"
            return EffectFailed(
                f"{tried}: the API server does not accept these credentials ({why}).",
                cure="Renew those of this context; try `kubectl auth whoami`.",
            )
        if status == 403:
            return EffectFailed(f"{tried}: {said}.", cure=f"Grant this account the verb {verb} on {resource}.")
        if status == 404:
            return InputError(f"{tried}: there is none.", cure="Check name, namespace, kind and context.")
        if status == 409:
            return StateMoved(
                f"{tried}: it was changed concurrently.", cure="Run the runbook again to make a new plan."
            )
        if budget := _budget(answer):
            return EffectFailed(
                f"{tried}: a PodDisruptionBudget holds it: {budget}.",
                cure="Wait until more of its pods serve, or let the budget's owner change it.",
                budget=budget,
            )
        if status == 429:
            return EffectFailed(f"{tried}: {said}.", cure="Try again later: the cluster asks to wait.")
        if status >= 500 and METHODS[verb] != "GET":
            return OutcomeUnknown(f"{tried}: the API server answered {status}, and may have done it: {said}.")
        return EffectFailed(f"{tried}: the API server answered {status}: {said}.")


def connect(arguments: Mapping[str, Any]) -> Api:
    """The API server that `kubeconfig` and `context` name; inside a pod, where neither is given, its own cluster.

    One connection serves a whole step: plan, evidence and act ask the same cluster.
    """
    return _connect(arguments.get("kubeconfig"), arguments.get("context"))


@lru_cache(maxsize=8)
def _connect(file: str | None, context: str | None) -> Api:
    return Api(partial(client_of, file, context))


def label_value(text: str) -> str:
    """A value that a label selector may hold. InputError for anything that would say more."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text, re.ASCII):
        raise InputError(f"'{shown(text)}' is not a value of a label.", cure="Use 1 to 63 of A-Z a-z 0-9 . _ -")
    return text


def _json(data: bytes) -> Document:
    try:
        answer = json.loads(data)
    except ValueError:
        return {"message": data[:500].decode("utf-8", "replace")}
    return answer if isinstance(answer, dict) else {"message": str(answer)}


def _cause(error: Exception) -> str:
    """The kind of an error, and what a proxy said that let nothing through."""
    original = getattr(error, "original_error", None)
    return f"{type(error).__name__}: {shown(original)}" if original else type(error).__name__


def _causes(answer: Document) -> list[Document]:
    return list((answer.get("details") or {}).get("causes") or [])


def _budget(answer: Document) -> str:
    """What a PodDisruptionBudget says against an eviction; empty where none does."""
    said = [cause.get("message", "") for cause in _causes(answer) if cause.get("reason") == "DisruptionBudget"]
    if "more than one PodDisruptionBudget" in str(answer.get("message")):  # 500, and nothing was done
        said = [answer["message"]]
    return "; ".join(str(shown(word, 500)).rstrip(".") for word in said)


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for piece in response.stream(amt=None, decode_content=True):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
